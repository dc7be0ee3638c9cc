package corpus

import (
	"bytes"
	"runtime"
)

func init() {
	register("channels", channels)
	register("waiters", waiters)
	register("closedchan", func() { closeTwice(make(chan string, 1)) })
	register("selecting", func() { selecting(1) })
}

func channels() {
	var none chan int
	sync := make(chan int)
	buf := make(chan int, 4)
	buf <- 1
	buf <- 2
	wrap := make(chan string, 3)
	for _, s := range []string{"a", "b", "c", "d", "e"} {
		if len(wrap) == cap(wrap) {
			<-wrap
		}
		wrap <- s
	}
	full := make(chan byte, 2)
	full <- 7
	full <- 8
	closed := make(chan int, 3)
	closed <- 5
	close(closed)
	done := make(chan struct{})
	close(done)
	zs := make(chan struct{}, 3)
	zs <- struct{}{}
	recs := make(chan person, 2)
	recs <- person{"a", 1}
	ptrs := make(chan *person, 2)
	ptrs <- &person{"b", 2}
	var recv <-chan int = buf
	var send chan<- int = buf
	errs := make(chan error, 2)
	errs <- errFixed
	errs <- nil
	ofChans := make(chan chan int, 1)
	ofChans <- buf
	ofRecv := make(chan (<-chan int), 1)
	ofRecv <- buf
	anys := make(chan any, 2)
	anys <- 1
	anys <- "x"
	big := make(chan [100]int, 2)
	big <- [100]int{99: 1}
	funcs := make(chan func(), 1)
	funcs <- func() { close(done) }
	signal := make(chan chan<- struct{}, 1)
	dec := make(chan []byte, 2)
	dec <- []byte("x")
	fail("channels")
	if never {
		sink = []any{none, sync, buf, wrap, full, closed, done, zs, recs, ptrs, recv, send, errs, ofChans, ofRecv, anys, big, funcs, signal, dec}
	}
}

func waiters() {
	recv, send := make(chan int), make(chan string, 1)
	send <- "kept"
	for range 3 {
		go func() { <-recv }()
	}
	for range 2 {
		go func() { send <- "waits" }()
	}
	settle("chan receive", 3)
	settle("chan send", 2)
	defer func() { // they end with the fixture
		close(recv)
		for range 3 {
			<-send
		}
	}()
	panic("waiters")
}

// settle waits until at least n goroutines of this package are parked for that reason.
func settle(reason string, n int) {
	buf := make([]byte, 1<<20)
	for {
		all := buf[:runtime.Stack(buf, true)]
		k := 0
		for g := range bytes.SplitSeq(all, []byte("\n\n")) {
			line, _, _ := bytes.Cut(g, []byte("\n"))
			if bytes.Contains(line, []byte(reason)) && bytes.Contains(g, []byte("corpus.waiters.func")) {
				k++
			}
		}
		if k >= n {
			return
		}
		runtime.Gosched()
	}
}

func closeTwice(c chan string) {
	c <- "left"
	n := len(c)
	close(c)
	for i := range 2 {
		if i == n {
			close(c)
		}
	}
}

func selecting(n int) {
	a, b := make(chan int, 1), make(chan string, 1)
	b <- "ready"
	got := ""
	select {
	case x := <-a:
		sink = x
	case s, ok := <-b:
		got = s
		if ok {
			fail(got)
		}
		sink = n
	}
}
