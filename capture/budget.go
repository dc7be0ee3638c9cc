package capture

import (
	"time"
	_ "unsafe" // for go:linkname
)

// nanotime is the runtime's monotonic clock; it is push-linknamed there
// (runtime/time_nofake.go). Inside of a bubble of package testing/synctest time.Now
// tells a clock that stands still for as long as anybody works, and no budget would end.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// deadline is a moment of nanotime; 0 is none.
type deadline int64

func deadlineIn(d time.Duration) deadline { return deadline(nanotime() + int64(d)) }

func (d deadline) passed() bool { return d != 0 && nanotime() > int64(d) }

// left is how long it is until then.
func (d deadline) left() time.Duration { return time.Duration(int64(d) - nanotime()) }

// meter looks at the clock as often as work is done, not as often as a loop goes
// round: an object may be a word or a megabyte. The zero meter has no end.
type meter struct {
	until deadline
	work  int
	over  bool // the deadline has passed
}

// What work costs, in bytes copied; a byte is less than a tenth of a nanosecond.
const (
	costLook  = 64 << 10 // a look at the clock is due: some 50 µs at the most
	costRead  = 128      // a read of the program's memory, however short
	costFault = 16 << 10 // … one that fails: a signal, and a panic that is recovered
	costScope = 1 << 10  // a variable is located: its type, its location list
	costFlow  = 64       // a value is followed over an instruction
)

// tick notes that work was done and reports whether the deadline has passed.
func (m *meter) tick(cost int) bool {
	if m.over || m.until == 0 {
		return m.over
	}
	if m.work += cost; m.work >= costLook {
		m.work = 0
		m.over = m.until.passed()
	}
	return m.over
}

// start begins anew, with another end.
func (m *meter) start(until deadline) { *m = meter{until: until, over: until.passed()} }

// read notes a read of n bytes that ended with err.
func (m *meter) read(n int, err error) bool {
	if err != nil {
		n = costFault
	}
	return m.tick(n + costRead)
}

// allowance is a memory of which only so much may be read: for what is short by
// nature and has no deadline of its own, because a dump is worth little without it.
type allowance struct {
	Memory
	left int // in the units of a meter
}

func (a *allowance) ReadAt(buf []byte, addr uint64) error {
	if a.left <= 0 {
		return errUnreadable
	}
	err := a.Memory.ReadAt(buf, addr)
	a.left -= len(buf) + costRead
	if err != nil {
		a.left -= costFault
	}
	return err
}
