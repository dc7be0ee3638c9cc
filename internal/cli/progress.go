package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows on a terminal how far a work on many dumps is. On anything else all
// its methods do nothing visible. They may be called concurrently.
type progress struct {
	w       io.Writer
	width   int
	doing   string
	dumps   atomic.Int64 // 0 if it is not known
	arrived atomic.Int64 // dumps
	bytes   atomic.Int64
	total   atomic.Int64 // bytes of the dumps that have begun
	stop    chan struct{}
	stopped sync.WaitGroup
	screen  sync.Mutex // held while something is printed
}

const progressEvery = 100 * time.Millisecond

func newProgress(std *stdio, doing string, dumps int) *progress {
	p := &progress{w: std.err, width: std.errWidth, doing: doing, stop: make(chan struct{})}
	p.of(dumps)
	if p.width == 0 {
		return p
	}
	p.stopped.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.screen.Lock()
				fmt.Fprint(p.w, "\r"+p.line()+"\x1b[K")
				p.screen.Unlock()
			case <-p.stop:
				fmt.Fprint(p.w, "\r\x1b[K")
				return
			}
		}
	})
	return p
}

func (p *progress) of(dumps int)       { p.dumps.Store(int64(dumps)) }
func (p *progress) expect(bytes int64) { p.total.Add(bytes) }
func (p *progress) add(bytes int64)    { p.bytes.Add(bytes) }
func (p *progress) done()              { p.arrived.Add(1) }

// print lets do print, to whatever stream, where the line was.
func (p *progress) print(do func() error) error {
	p.screen.Lock()
	defer p.screen.Unlock()
	if p.width > 0 {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	return do()
}

// close removes the line. The progress must not be used afterwards.
func (p *progress) close() {
	close(p.stop)
	p.stopped.Wait()
}

// line is what the terminal shows now, narrower than the terminal.
func (p *progress) line() string {
	bytes, total := p.bytes.Load(), p.total.Load()
	dumps := p.dumps.Load()
	if dumps == 0 {
		text := fmt.Sprintf("%s %d  %s ", p.doing, p.arrived.Load(), bytesText(bytes))
		return shorten(text, max(p.width-1, 2))
	}
	text := fmt.Sprintf("%s %d/%d  %s / %s ", p.doing, p.arrived.Load(), dumps, bytesText(bytes), bytesText(total))
	room := min(p.width-len(text)-3, 40)
	if room < 5 {
		return shorten(text, max(p.width-1, 2))
	}
	full := 0
	if total > 0 {
		full = int(int64(room) * min(bytes, total) / total)
	}
	return text + "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
}
