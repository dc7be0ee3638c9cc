package debugger

import (
	"fmt"
	"go/constant"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// WaitText says what a goroutine waits for: "receive from chan int at 0xc000012345, 0 of 3
// buffered".
func WaitText(w *dump.Wait) string {
	var b strings.Builder
	op := Clean(w.Op)
	switch op {
	case "receive":
		op = "receive from"
	case "send":
		op = "send to"
	case "sleep":
		return "sleep for another " + w.Left.Round(time.Millisecond).String()
	case "read", "write":
		return fmt.Sprintf("%s file descriptor %d", op, w.FD)
	case "", "wait":
		op = "wait for"
	}
	b.WriteString(op)
	if w.Type != "" {
		b.WriteString(" " + Clean(w.Type))
	}
	if w.Addr != 0 {
		fmt.Fprintf(&b, " at %#x", w.Addr)
	}
	if w.Cap > 0 {
		fmt.Fprintf(&b, ", %d of %d buffered", w.Len, w.Cap)
	}
	if w.Closed {
		b.WriteString(", closed")
	}
	return b.String()
}

// Waiters returns the IDs of the goroutines that wait for what lies at addr, in order. What could
// be read is returned beside an error.
func (s *Session) Waiters(addr uint64) ([]int64, error) {
	list, err := s.Goroutines()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters == nil {
		s.waiters = map[uint64][]int64{}
		for i := range list {
			for _, w := range list[i].Waits {
				if ids := s.waiters[w.Addr]; w.Addr != 0 && (len(ids) == 0 || ids[len(ids)-1] != list[i].ID) {
					s.waiters[w.Addr] = append(ids, list[i].ID)
				}
			}
		}
	}
	return s.waiters[addr], err
}

var stackSeed = maphash.MakeSeed()

// stackOf tells goroutines that do the same from others: the same status, wait reason, creator and
// frames.
func stackOf(g *dump.Goroutine) uint64 {
	var h maphash.Hash
	h.SetSeed(stackSeed)
	text := func(s string) { h.WriteString(s); h.WriteByte(0) }
	text(g.Status)
	text(g.WaitReason)
	text(g.CreatedBy.Func)
	maphash.WriteComparable(&h, g.CreatedBy.Line)
	for i := range g.Frames {
		text(g.Frames[i].Func)
		text(g.Frames[i].File)
		maphash.WriteComparable(&h, g.Frames[i].Line)
	}
	return h.Sum64()
}

// Group is goroutines that have something in common.
type Group struct {
	Name       string
	Goroutines []GoroutineInfo
}

// GroupBy puts goroutines into groups, by what key says of each, the largest first.
func GroupBy(list []GoroutineInfo, key func(g *GoroutineInfo) (name, key string)) []Group {
	index := map[string]int{}
	var out []Group
	for i := range list {
		name, k := key(&list[i])
		n, ok := index[k]
		if !ok {
			n = len(out)
			index[k] = n
			out = append(out, Group{Name: name})
		}
		out[n].Goroutines = append(out[n].Goroutines, list[i])
	}
	slices.SortStableFunc(out, func(a, b Group) int { return len(b.Goroutines) - len(a.Goroutines) })
	return out
}

// Pointee returns the address of what a channel or pointer leads to, or that a number is, else where the
// value itself lies; 0 if there is none.
func (x *Value) Pointee() uint64 {
	if x.con != nil {
		u, _ := constant.Uint64Val(constant.ToInt(x.con))
		return u
	}
	if x.v != nil && x.why == "" {
		switch x.Kind() {
		case dump.Pointer, dump.Chan, dump.UnsafePointer:
			return x.v.Ptr
		case dump.Uintptr:
			return x.v.Num
		}
	}
	return x.addr
}
