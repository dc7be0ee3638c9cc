package spool

import (
	"container/heap"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// state is what a Spool knows of its folder without looking: what it found there
// when it last looked, and what it has done since. The disk is right where they
// differ. All of it is guarded by Spool.mu.
type state struct {
	items map[string]*item // those in items and in failed, by file name
	queue queue            // those in items that no attempt is under way for
	bytes int64            // of all items

	failedItems int // of them, those in failed
	failedBytes int64

	gone map[string]struct{} // dropped since the scan under way began; else nil

	// What Puts under way have announced to add.
	reservedItems int
	reservedBytes int64

	damagedItems int // in damaged
	damagedBytes int64
	foreign      int // files in items that are not ours

	seq      uint64 // counts changes of items
	scanned  time.Time
	cleaned  time.Time
	nextScan time.Time
	sweeps   int // looks of the background that have ended
	labelled bool

	flying int // uploads that the background has under way
	stuck  int // calls of the destination that were given up on
	hurry  int // callers that wait for uploads

	recent recent
	counts counts
	last   error // of an upload
}

// counts is what this Spool has done.
type counts struct {
	attempts, failures                           uint64
	delivered, evicted, expired, givenUp, damage uint64
}

func (st *state) init() {
	st.items = make(map[string]*item)
	st.recent.m = make(map[dump.ID]Outcome)
}

// item is a file in items or failed.
type item struct {
	name   string
	id     dump.Identity // as far as it is known: the name tells two IDs
	size   int64         // of the file
	failed bool          // it lies in failed
	meta   *trailer      // nil if it was not read yet
	seq    uint64

	attempts  int       // uploads that this process began
	busy      int       // how often in a row somebody else had it claimed
	troubles  int       // how often in a row it could not be read, moved or removed
	next      time.Time // not to be tried before
	asked     time.Time // of that, what the destination has asked for, for this dump alone
	tried     time.Time // when the latest upload began
	took      time.Duration
	delivered bool // the destination has it, but it could not be removed
	refused   bool // the latest upload has failed
	deleting  bool // somebody waits to delete it

	flight *flight
	place  int // in the queue, -1 if it is not there
}

// soonest returns when an item may be tried if there is no reason to wait but
// that the destination has asked for it.
func (it *item) soonest(now time.Time) time.Time {
	if it.asked.After(now) {
		return it.asked
	}
	return now
}

// class is unknown as long as the trailer is.
func (it *item) class() class {
	switch {
	case it.failed, it.delivered:
		return classFailed
	case it.meta == nil:
		return classUnknown
	}
	return classOf(it.meta.trigger)
}

// flight is an attempt that is under way.
type flight struct {
	cancel  func()
	done    chan struct{} // closed when the verdict is there
	verdict verdict
	taken   bool   // in this attempt the destination has taken the dump
	seq     uint64 // of the item when it began
}

// put adds an item that was written just now.
func (st *state) put(name string, t trailer) {
	it := st.add(name, t.size+trailerLen, false)
	st.seq++
	it.seq = st.seq
	it.delivered, it.next = false, time.Time{}
	it.learn(t)
	st.enqueue(it)
}

// add adds an item that was found, or updates it.
func (st *state) add(name string, size int64, failed bool) *item {
	it := st.items[name]
	if it == nil {
		id, _ := parseItemName(name)
		it = &item{name: name, id: id, place: -1}
		st.items[name] = it
		st.seq++
		it.seq = st.seq
		st.count(it, 1) // as empty
	}
	st.count(it, -1)
	it.size, it.failed = size, failed
	st.count(it, 1)
	st.enqueue(it)
	return it
}

// count adds an item to the sums, or takes it out.
func (st *state) count(it *item, sign int) {
	st.bytes += int64(sign) * it.size
	if it.failed {
		st.failedItems += sign
		st.failedBytes += int64(sign) * it.size
	}
}

// enqueue puts an item where it belongs: into the queue if it waits.
func (st *state) enqueue(it *item) {
	waits := (!it.failed || it.delivered) && !it.deleting && it.flight == nil && st.items[it.name] == it
	switch {
	case waits && it.place < 0:
		heap.Push(&st.queue, it)
	case waits:
		heap.Fix(&st.queue, it.place)
	case it.place >= 0:
		heap.Remove(&st.queue, it.place)
	}
}

// drop forgets an item whose file is gone.
func (st *state) drop(it *item) {
	if st.items[it.name] != it {
		return
	}
	delete(st.items, it.name)
	st.count(it, -1)
	if st.gone != nil {
		st.gone[it.name] = struct{}{}
	}
	st.enqueue(it)
}

// setAside notes that an item lies in failed now.
func (st *state) setAside(it *item) {
	if st.items[it.name] == it && !it.failed {
		st.count(it, -1)
		it.failed = true
		st.count(it, 1)
	}
	st.enqueue(it)
}

// waiting returns how many items wait for their upload, or are being uploaded.
func (st *state) waiting() (n int, bytes int64) {
	return len(st.items) - st.failedItems, st.bytes - st.failedBytes
}

// queue is a heap of items, the one to try next on top.
type queue []*item

func (q queue) Len() int { return len(q) }

// Less prefers what may be tried sooner; then what was not tried for longest,
// so that dumps that always fail do not keep the others from being tried;
// then the oldest.
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if !a.next.Equal(b.next) {
		return a.next.Before(b.next)
	}
	if !a.tried.Equal(b.tried) {
		return a.tried.Before(b.tried)
	}
	return a.name < b.name
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	it := x.(*item)
	it.place = len(*q)
	*q = append(*q, it)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	it := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	it.place = -1
	return it
}

// recent remembers what became of the latest dumps.
type recent struct {
	m    map[dump.ID]Outcome
	ring []dump.ID // the oldest at next
	next int
}

const maxRecent = 4096

func (r *recent) add(id dump.ID, o Outcome) {
	if _, ok := r.m[id]; ok {
		r.m[id] = o
		return
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, id)
	} else {
		delete(r.m, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % maxRecent
	}
	r.m[id] = o
}

// forget lets the ID stay in the ring, where it does no harm.
func (r *recent) forget(id dump.ID) { delete(r.m, id) }
