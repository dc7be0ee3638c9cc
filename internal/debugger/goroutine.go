package debugger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Place is a location with its function.
type Place struct {
	Func string
	Source
	PC uint64
}

// GoroutineInfo is what a list of goroutines shows of one.
type GoroutineInfo struct {
	ID         int64
	Status     string
	WaitReason string
	WaitSince  time.Duration
	Failing    bool
	Labels     []dump.KeyValue
	User       Place // where it stands in code that a user would recognize
	Runtime    Place // the innermost frame
	Go         Place // the go statement that started it
	Start      Place // the outermost frame, without runtime.goexit
	Frames     int
	Waits      []dump.Wait // what it waits for
	TraceID    dump.TraceID
	SpanID     dump.SpanID
	System     bool   // the runtime's own
	Locked     bool   // to its thread
	Stack      uint64 // the same for goroutines that do the same
}

// Goroutines lists the goroutines by ID. The list is made once; it reads all of
// them. What could be read is returned beside an error.
func (s *Session) Goroutines() ([]GoroutineInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list != nil {
		return s.list, nil
	}
	var list []GoroutineInfo
	var problem error
	for g, err := range s.r.Goroutines() {
		if err != nil {
			problem = fmt.Errorf("reading the goroutines: %w", err)
			continue // others may be whole
		}
		list = append(list, s.describe(g))
	}
	slices.SortStableFunc(list, func(a, b GoroutineInfo) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	if problem == nil {
		s.list = list
	}
	return list, problem
}

// Describe returns what a list shows of the scope's goroutine.
func (sc Scope) Describe() (GoroutineInfo, error) {
	if sc.g == nil {
		return GoroutineInfo{}, errNoGoroutine
	}
	return sc.s.describe(sc.g), nil
}

func (s *Session) describe(g *dump.Goroutine) GoroutineInfo {
	info := GoroutineInfo{
		ID: g.ID, Status: Clean(g.Status), WaitReason: Clean(g.WaitReason), WaitSince: g.WaitSince,
		Failing: g.Failing, Labels: g.Labels, Frames: len(g.Frames),
		Waits: g.Waits, TraceID: g.TraceID, SpanID: g.SpanID, System: g.System, Locked: g.Locked, Stack: stackOf(g),
		Go: Place{Func: Clean(g.CreatedBy.Func), Source: Source{g.CreatedBy.File, g.CreatedBy.Line}},
	}
	if len(g.Frames) > 0 {
		info.Runtime = place(&g.Frames[0])
		info.User = place(s.userFrame(g))
		last := len(g.Frames) - 1
		if last > 0 && g.Frames[last].Func == "runtime.goexit" {
			last--
		}
		info.Start = place(&g.Frames[last])
		if l := g.Frames[last].FuncLine; l > 0 {
			info.Start.Line = l
		}
	}
	return info
}

func place(f *dump.Frame) Place {
	return Place{Func: Clean(f.Func), Source: Source{f.File, f.Line}, PC: f.PC}
}

// maxUserDepth is how deep dlv looks for a frame that a user would recognize.
const maxUserDepth = 30

// userFrame returns the frame that stands for the goroutine in a list: the
// failing user frame, else as dlv has it the first one that is not inside the
// runtime's own functions. g has at least one frame.
func (s *Session) userFrame(g *dump.Goroutine) *dump.Frame {
	if s.failing != nil && g.ID == s.failing.ID && len(s.failing.Frames) > 0 {
		return &s.failing.Frames[s.failingFrame()]
	}
	for i := range min(len(g.Frames), maxUserDepth) {
		if f := &g.Frames[i]; f.User || !runtimeInternal(f.Func) {
			return f
		}
	}
	return &g.Frames[0]
}

func runtimeInternal(fn string) bool {
	if rest, ok := strings.CutPrefix(fn, "runtime."); ok {
		return rest == "" || rest[0] < 'A' || rest[0] > 'Z'
	}
	return !strings.Contains(fn, ".") || strings.HasPrefix(fn, "internal/") || strings.HasPrefix(fn, "runtime/internal")
}
