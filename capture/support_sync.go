package capture

import (
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var syncSupports = []builtinType{
	{"sync.Mutex", TypeSupport{Describe: func(v View, d *Description) {
		if s, ok := mutexState(v); ok {
			d.Summary(s)
		}
	}}},
	{"internal/sync.Mutex", TypeSupport{Describe: func(v View, d *Description) {
		if s, ok := mutexState(v); ok {
			d.Summary(s)
		}
	}}},
	{"sync.RWMutex", TypeSupport{Describe: describeRWMutex}},
	{"sync.WaitGroup", TypeSupport{Describe: describeWaitGroup}},
	{"sync.Once", TypeSupport{Describe: func(v View, d *Description) {
		if done, ok := v.Path("done", "v").Uint(); ok {
			d.Summary(pick(done != 0, "done", "not done"))
		}
	}}},
	{"sync.Cond", TypeSupport{Describe: func(v View, d *Description) {
		wait, ok1 := v.Path("notify", "wait").Uint()
		notify, ok2 := v.Path("notify", "notify").Uint()
		if n := uint32(wait) - uint32(notify); ok1 && ok2 && n < 1<<31 {
			d.Summary(count(int64(n), "goroutine waits", "goroutines wait"))
		}
	}}},
	{"sync.Map", TypeSupport{Describe: describeSyncMap, Near: []string{"m"}}},
	{"internal/sync.HashTrieMap[interface {},interface {}]", TypeSupport{follow: followTrie}},
}

// Bits of the state of a mutex (internal/sync/mutex.go, Go 1.26; sync/mutex.go before 1.24).
const (
	mutexLocked      = 1
	mutexStarving    = 4
	mutexWaiterShift = 3
)

// mutexState describes a sync.Mutex or an internal/sync.Mutex.
func mutexState(v View) (string, bool) {
	n, ok := mutexWord(v)
	if !ok || n < 0 {
		return "", false
	}
	s := pick(n&mutexLocked != 0, "locked", "unlocked")
	if waiters := n >> mutexWaiterShift; waiters > 0 {
		s += ", " + count(waiters, "waits", "wait")
	}
	return s + pick(n&mutexStarving != 0, ", starving", ""), true
}

func mutexWord(v View) (int64, bool) {
	if inner := v.Field("mu"); inner.OK() {
		v = inner
	}
	if s := v.Field("state"); s.Kind() == dump.Int32 && v.Field("sema").Kind() == dump.Uint32 {
		return s.Int()
	}
	return 0, false
}

const rwmutexMaxReaders = 1 << 30 // sync/rwmutex.go

func describeRWMutex(v View, d *Description) {
	readers, ok1 := v.Path("readerCount", "v").Int()
	leaving, ok2 := v.Path("readerWait", "v").Int()
	writers, ok3 := mutexWord(v.Field("w"))
	if !ok1 || !ok2 || !ok3 || writers < 0 {
		return
	}
	more := ""
	if n := writers >> mutexWaiterShift; n > 0 {
		more = count(n, "more writer waits", "more writers wait")
	}
	switch {
	case readers == 0:
		d.Summary(parts("unlocked", more))
	case readers > 0:
		d.Summary(parts("locked by "+count(readers, "reader", "readers"), more))
	case leaving > 0:
		wait := readers + rwmutexMaxReaders - leaving
		d.Summary(parts("locked by "+count(leaving, "reader", "readers"), "a writer waits", more, waiting(wait)))
	default:
		d.Summary(parts("locked for writing", more, waiting(readers+rwmutexMaxReaders)))
	}
}

func waiting(readers int64) string {
	if readers <= 0 {
		return ""
	}
	return count(readers, "reader waits", "readers wait")
}

// describeWaitGroup reads the state of a WaitGroup: the counter above, the waiters below (sync/waitgroup.go; a bit
// between them says that it belongs to a synctest bubble).
func describeWaitGroup(v View, d *Description) {
	n, ok := v.Path("state", "v").Uint()
	if !ok || v.Path("state", "v").Kind() != dump.Uint64 {
		return
	}
	s := "counter " + strconv.Itoa(int(int32(n>>32)))
	if w := int64(n & 0x7fffffff); w > 0 {
		s += ", " + count(w, "waits", "wait")
	}
	d.Summary(s)
}

func pick(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}
