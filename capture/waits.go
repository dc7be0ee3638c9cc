package capture

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// waitOn is what a goroutine waits in: the queue of a channel, of a semaphore or of a
// condition (runtime.sudog). It is read together with the goroutine's stack.
type waitOn struct {
	addr   uint64 // the channel; else of the semaphore or of the list of waiters
	op     waitOp
	elem   uint64 // runtime type of the channel's elements
	n, cap int64  // of the channel
	closed bool
}

type waitOp uint8

const (
	waitSema    waitOp = iota // or a condition
	waitChan                  // not known in which direction
	waitReceive               // from a channel
	waitSend                  // to a channel
)

// maxWaits is how many cases of a select are kept.
const maxWaits = 64

// readWaits reads what the goroutine waits in, from g.waiting on. It returns false if it has
// been taken out of a channel's queue already: the one that did so writes to its stack
// before it makes it run.
func (c *copier) readWaits(p *parked, sudog uint64) bool {
	l := c.l
	for sudog != 0 && len(p.waits) < maxWaits {
		b, err := c.small.bytes(sudog, 104)
		if err != nil {
			return true
		}
		ch, elem := word(b, int(l.sdChan+l.traceableWord)), word(b, int(l.sdElem+l.traceableWord))
		prev, next, sel := word(b, int(l.sdPrev)), word(b, int(l.sdWaitLink)), b[l.sdIsSelect] != 0
		if ch == 0 {
			// The links of a semaphore's waiters are the semaphore's.
			if elem != 0 {
				p.waits = append(p.waits, waitOn{addr: elem})
			}
			return true
		}
		h, err := c.small.bytes(ch, 96)
		if err != nil {
			return true
		}
		w := waitOn{
			addr: ch, op: waitChan, elem: word(h, int(l.cElemType)), n: int64(word(h, int(l.cCount))), cap: int64(word(h, int(l.cSize))),
			closed: binary.LittleEndian.Uint32(h[l.cClosed:]) != 0,
		}
		if w.n < 0 || w.n > w.cap || w.cap > 1<<40 {
			return false // it is no channel: something else has moved
		}
		recv, send := word(h, int(l.cRecvQ)), word(h, int(l.cSendQ))
		// Only one of the queues has waiters, unless a select waits for both.
		switch first := c.head(sudog, prev); {
		case first != 0 && first == recv:
			w.op = waitReceive
		case first != 0 && first == send:
			w.op = waitSend
		case prev == 0:
			return false
		case send == 0 && recv != 0:
			w.op = waitReceive
		case recv == 0 && send != 0:
			w.op = waitSend
		}
		p.waits = append(p.waits, w)
		if !sel {
			return true
		}
		sudog = next
	}
	return true
}

// head follows a channel's queue to its first waiter, not far.
func (c *copier) head(sudog, prev uint64) uint64 {
	for range 4 {
		if prev == 0 {
			return sudog
		}
		sudog = prev
		p, err := c.small.word(sudog + c.l.sdPrev)
		if err != nil {
			return 0
		}
		prev = p
	}
	return 0
}

// waitsOf describes what a goroutine waits for. frames are its calls, innermost first, with the
// variables that are known of them; now is when it was copied.
func (d *decoder) waitsOf(p *parked, reason string, frames []snapFrame, now int64) []dump.Wait {
	switch {
	case p.status != gWaiting && p.status != gLeaked:
		return nil
	case reason == "sleep":
		if p.until > now {
			return []dump.Wait{{Op: "sleep", Left: time.Duration(p.until - now)}}
		}
		return nil
	case reason == "IO wait":
		return d.pollWait(p, frames)
	}
	var out []dump.Wait
	for i := range p.waits {
		w := &p.waits[i]
		if w.op == waitSema {
			if strings.HasPrefix(reason, "sync.") || strings.HasPrefix(reason, "semacquire") {
				out = append(out, d.semaphore(w.addr, frames))
			}
			continue
		}
		if !strings.HasPrefix(reason, "chan ") && !strings.HasPrefix(reason, "select") {
			continue
		}
		x := dump.Wait{Addr: w.addr, Type: "chan", Len: w.n, Cap: w.cap, Closed: w.closed}
		switch w.op {
		case waitReceive:
			x.Op = "receive"
		case waitSend:
			x.Op = "send"
		}
		if t := d.w.ofRtype(w.elem); t != nil {
			x.Type = chanOf(t.name)
		}
		out = append(out, x)
	}
	return out
}

// chanOf is the name of a channel type. The channel itself does not know in which
// directions the variables that hold it may be used.
func chanOf(elem string) string {
	if strings.HasPrefix(elem, "<-") {
		return "chan (" + elem + ")"
	}
	return "chan " + elem
}

// semaphore finds what a semaphore belongs to: the outermost function of package sync
// that waits says so.
func (d *decoder) semaphore(addr uint64, frames []snapFrame) dump.Wait {
	l := d.w.lay
	out := dump.Wait{Op: "acquire", Addr: addr}
	mutex := false
	for i := range frames {
		name := frames[i].name
		pkg := packageOf(name)
		if pkg == "runtime" {
			continue
		}
		if pkg != "sync" && pkg != "internal/sync" {
			break
		}
		switch name[len(pkg)+1:] {
		case "(*Mutex).Lock", "(*Mutex).lockSlow":
			mutex = true
			out = dump.Wait{Op: "lock", Addr: addr - l.muSema, Type: "sync.Mutex"}
		case "(*RWMutex).Lock":
			off := l.rwWriterSem
			if mutex { // another one that wants to write is before it
				off = l.muSema
			}
			return dump.Wait{Op: "lock", Addr: addr - off, Type: "sync.RWMutex"}
		case "(*RWMutex).RLock":
			return dump.Wait{Op: "rlock", Addr: addr - l.rwReaderSem, Type: "sync.RWMutex"}
		case "(*WaitGroup).Wait":
			return dump.Wait{Op: "wait", Addr: addr - l.wgSema, Type: "sync.WaitGroup"}
		case "(*Cond).Wait":
			if !mutex { // not for the condition's lock, once it was signalled
				return dump.Wait{Op: "wait", Addr: addr - l.condNotify, Type: "sync.Cond"}
			}
		}
	}
	return out
}

// pollWait finds the file that a goroutine waits to read or to write: the runtime's
// functions have the address of its pollDesc, or of the word in that which points to the goroutine.
func (d *decoder) pollWait(p *parked, frames []snapFrame) []dump.Wait {
	l := d.w.lay
	out := dump.Wait{}
	slot := l.pdRG
	for i := range frames {
		switch frames[i].name {
		case "internal/poll.(*pollDesc).waitRead":
			out.Op = "read"
		case "internal/poll.(*pollDesc).waitWrite":
			out.Op, slot = "write", l.pdWG
		}
	}
	if out.Op == "" {
		return nil
	}
	for i := range frames {
		if n := frames[i].name; n != "runtime.netpollblock" && n != "internal/poll.runtime_pollWait" {
			continue
		}
		for j := range frames[i].vars {
			v := &frames[i].vars[j]
			if len(v.data) != 8 || v.known != nil || v.name != "pd" && v.name != "gpp" {
				continue
			}
			pd := word(v.data, 0)
			if v.name == "gpp" {
				pd -= slot
			}
			// It points to the goroutine as long as that waits.
			g, err1 := d.w.mem.word(pd + slot)
			fd, err2 := d.w.mem.word(pd + l.pdFD)
			if err1 == nil && err2 == nil && g == p.at && fd < 1<<31 {
				out.FD = int64(fd)
				return []dump.Wait{out}
			}
		}
	}
	return nil
}

// reasons126 are the texts of runtime.waitReason in Go 1.26, for programs without symbols.
var reasons126 = [...]string{
	"", "GC assist marking", "IO wait", "dumping heap", "garbage collection", "garbage collection scan", "panicwait", "GC assist wait",
	"GC sweep wait", "GC scavenge wait", "finalizer wait", "force gc (idle)", "GOMAXPROCS updater (idle)", "semacquire", "sleep",
	"chan receive (nil chan)", "chan send (nil chan)", "select (no cases)", "select", "chan receive", "chan send", "sync.Cond.Wait",
	"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait", "trace reader (blocked)", "wait for GC cycle",
	"GC worker (idle)", "GC worker (active)", "preempted", "debug call", "GC mark termination", "stopping the world", "flushing proc caches",
	"trace goroutine status", "trace proc status", "page trace flush", "coroutine", "GC weak to strong wait", "synctest.Run", "synctest.Wait",
	"chan receive (durable)", "chan send (durable)", "select (durable)", "sync.WaitGroup.Wait (durable)", "cleanup wait",
}

// waitReason reads the text of a wait reason from the runtime's own table.
func (d *decoder) waitReason(n uint8) string {
	at := d.waits
	if at == 0 {
		if int(n) < len(reasons126) && isGo126 {
			return reasons126[n]
		}
		return ""
	}
	if n >= 64 {
		return ""
	}
	s, err := readString(self{}, at+16*uint64(n), 64)
	if err != nil {
		return ""
	}
	return s
}
