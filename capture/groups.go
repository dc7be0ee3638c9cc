package capture

import (
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// group is goroutines that stand in the same place: the same pcs all the way out, the same
// state, wait reason and creator.
type group struct {
	count   int
	first   int // index of one of them
	longest time.Duration
	at      position
}

// group groups the goroutines by their stacks.
func (o *others) group() {
	byKey := map[string]int{}
	var key []byte
	for i := range o.s.others {
		p := &o.s.others[i]
		key = append(key[:0], byte(p.status), p.waitReason)
		key = appendWord(key, p.goPC)
		var frames []frame
		var pcs []uint64
		switch {
		case p.stack.data == nil:
			key = append(key, p.why...)
		case o.di == nil:
			pcs = framePointers(p, maxOtherFrames)
			for _, pc := range pcs {
				key = appendWord(key, pc)
			}
		default:
			frames, _ = o.unwind(p)
			for k := range frames {
				key = appendWord(key, frames[k].pc)
			}
		}
		n, ok := byKey[string(key)]
		if !ok {
			n = len(o.list)
			byKey[string(key)] = n
			o.list = append(o.list, group{first: i, at: o.standsAt(frames, pcs, p.pc)})
		}
		gr := &o.list[n]
		gr.count++
		gr.longest = max(gr.longest, o.waitSince(p))
	}
	slices.SortStableFunc(o.list, func(a, b group) int { return b.count - a.count })
}

func appendWord(b []byte, v uint64) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}

// standsAt returns the frame that tells most: the innermost one of the program's own, else the
// innermost one outside of the runtime.
func (o *others) standsAt(frames []frame, pcs []uint64, pc uint64) position {
	var all []snapFrame
	for k := range frames {
		f := &frames[k]
		if f.fn == nil {
			all = append(all, o.calls(f.pc, f.exact)...)
			continue
		}
		inner := uint64(0)
		if k > 0 {
			inner = frames[k-1].pc
		}
		si := o.site(f, inner)
		for j := range si.calls {
			all = append(all, snapFrame{position: si.pos[j], user: si.user[j]})
		}
	}
	for _, at := range pcs {
		all = append(all, o.calls(at, at == pc)...)
	}
	best := -1
	for i := range all {
		f := &all[i]
		if f.user {
			return f.position
		}
		if best < 0 && packageOf(f.name) != "runtime" && !strings.HasPrefix(f.name, "internal/") {
			best = i
		}
	}
	switch {
	case best >= 0:
		return all[best].position
	case len(all) > 0:
		return all[0].position
	}
	return position{}
}

// maxGroups is how many groups of goroutines the failing one's record lists.
const maxGroups = 32

// groups describes the largest groups for the failing goroutine's record.
func (o *others) groups() []dump.GoroutineGroup {
	var out []dump.GoroutineGroup
	for i := range o.list[:min(len(o.list), maxGroups)] {
		gr := &o.list[i]
		p := &o.s.others[gr.first]
		out = append(out, dump.GoroutineGroup{
			Count: gr.count, ID: p.id, Status: statusName(p.status), WaitReason: o.reason(p), CreatedBy: o.createdBy(p.goPC), Longest: gr.longest,
			At: dump.Location{Func: gr.at.name, File: gr.at.file, Line: gr.at.line},
		})
	}
	return out
}
