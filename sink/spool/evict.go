package spool

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

const (
	// For so long the sums are trusted when the bounds are reached, when they are
	// not, and when not even half of them is used.
	freshFor   = time.Second
	trustedFor = 10 * time.Second
	farFor     = time.Minute

	// maxDamaged is how many damaged files are kept. Together they may have
	// an eighth of MaxBytes.
	maxDamaged = 100
)

// reserve sees to it that there is room for a file of that size and class, and
// announces it to other Puts. What it returns ends the announcement; the caller
// calls it with mu held, when the item has been added or was not written.
func (s *Spool) reserve(ctx context.Context, root disk.Folder, size int64, c class) (free func(), err error) {
	s.mu.Lock()
	trust := trustedFor
	if len(s.state.items) < s.cfg.MaxItems/2 && s.state.bytes < s.cfg.MaxBytes/2 {
		trust = farFor
	}
	age := time.Since(s.state.scanned)
	known := !s.state.scanned.IsZero() && age >= 0 && age < trust
	s.state.reservedItems++
	s.state.reservedBytes += size
	s.mu.Unlock()
	free = func() {
		s.state.reservedItems--
		s.state.reservedBytes -= size
	}
	if !known {
		err = s.scan(ctx, root)
	}
	if n := (need{file: size}); err == nil && s.lacking(n).any() {
		err = s.makeRoom(ctx, root, n, c)
	}
	if err != nil {
		s.mu.Lock()
		free()
		s.mu.Unlock()
		return nil, err
	}
	return free, nil
}

// need is what room is made for, besides the bounds of number and size.
type need struct {
	bytes int64 // to be removed in any case
	file  int64 // the size of the file that is to come, if MinFree is to be kept
}

// lack is how much has to go.
type lack struct {
	items int
	bytes int64
	why   string
}

func (l lack) any() bool { return l.items > 0 || l.bytes > 0 }

// lacking compares the sums, with what is announced, with the bounds.
func (s *Spool) lacking(n need) lack {
	s.mu.Lock()
	st := &s.state
	items := len(st.items) + st.damagedItems + st.reservedItems
	bytes := st.bytes + st.damagedBytes + st.reservedBytes
	coming := st.reservedBytes
	s.mu.Unlock()
	l := lack{bytes: n.bytes}
	var why []string
	if over := items - s.cfg.MaxItems; over > 0 {
		l.items = max(l.items, over)
		why = append(why, fmt.Sprintf("it may hold %d files", s.cfg.MaxItems))
	}
	if over := bytes - s.cfg.MaxBytes; over > 0 {
		l.bytes = max(l.bytes, over)
		why = append(why, fmt.Sprintf("it may hold %d bytes", s.cfg.MaxBytes))
	}
	if n.file > 0 && s.cfg.MinFree > 0 {
		// A file system that cannot tell says so when it is full.
		if free, err := s.sys.Free(s.dir); err == nil && free >= 0 && free-coming < s.cfg.MinFree {
			// No more goes than the new file takes: the rest is not the spool's
			// doing.
			l.bytes = max(l.bytes, min(s.cfg.MinFree-(free-coming), n.file))
			why = append(why, fmt.Sprintf("its disk has %d bytes left of which %d are to stay free", free, s.cfg.MinFree))
		}
	}
	if len(why) == 0 && l.any() {
		why = append(why, "its disk is full")
	}
	l.why = strings.Join(why, ", ")
	return l
}

// ErrFull says that there is no room in the spool and none can be made. It is an
// error of Put.
var ErrFull = errors.New("no room in the spool")

// makeRoom removes what is worth no more than c until there is room. It removes
// nothing if that would not be enough.
func (s *Spool) makeRoom(ctx context.Context, root disk.Folder, n need, c class) error {
	select {
	case s.evicting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.evicting }()
	defer s.lockHome(ctx, root)()

	s.mu.Lock()
	age := time.Since(s.state.scanned)
	s.mu.Unlock()
	if age < 0 || age >= freshFor {
		if err := s.scan(ctx, root); err != nil {
			return err
		}
	}
	l := s.lacking(n)
	if !l.any() {
		return nil
	}
	l = s.dropDamaged(root, l)
	if !l.any() {
		return nil
	}
	v := s.victims(root, c)
	if v.items < l.items || v.bytes < l.bytes {
		return fmt.Errorf("%w: %s, and what it holds is worth more, or too little to make room", ErrFull, l.why)
	}
	evicted, evictedBytes := 0, int64(0)
	var problem error
	for l.any() && len(v.heap) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		it := heap.Pop(&v.heap).(victim).it
		removed, err := s.evict(root, it, l.why)
		if err != nil {
			problem = err
			continue
		}
		l.items--
		l.bytes -= it.size
		if removed {
			evicted++
			evictedBytes += it.size
		}
	}
	if evicted > 0 {
		s.trouble(TroubleEvicted, fmt.Errorf("%d dumps (%d bytes) for %s are lost: spool %s is full: %s", evicted, evictedBytes, s.name, s.dir, l.why))
	}
	if l.any() {
		return errors.Join(fmt.Errorf("%w: %s, and the rest of it is being uploaded or cannot be removed", ErrFull, l.why), problem)
	}
	return nil
}

// victims are the items that may go, the first to go on top.
type victims struct {
	heap  victimHeap
	items int
	bytes int64
}

type victim struct {
	it    *item
	class class
	put   time.Time
}

func (s *Spool) victims(root disk.Folder, c class) victims {
	for _, it := range s.itemsNow(func(it *item) bool { return it.meta == nil }) {
		s.load(root, it)
	}
	var v victims
	s.mu.Lock()
	defer s.mu.Unlock()
	v.heap = make(victimHeap, 0, len(s.state.items))
	for _, it := range s.state.items {
		if it.flight != nil || it.class() > c {
			continue
		}
		put := it.id.ID.Time()
		if it.meta != nil {
			put = it.meta.put
		}
		v.heap = append(v.heap, victim{it, it.class(), put})
		v.items++
		v.bytes += it.size
	}
	heap.Init(&v.heap)
	return v
}

type victimHeap []victim

func (h victimHeap) Len() int      { return len(h) }
func (h victimHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *victimHeap) Push(x any)   { *h = append(*h, x.(victim)) }

func (h victimHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.class != b.class {
		return a.class < b.class
	}
	if !a.put.Equal(b.put) {
		return a.put.Before(b.put)
	}
	return a.it.name < b.it.name
}

func (h *victimHeap) Pop() any {
	last := len(*h) - 1
	v := (*h)[last]
	*h = (*h)[:last]
	return v
}

// evict removes an item, unless somebody has claimed it. It reports whether a
// dump was lost by that.
func (s *Spool) evict(root disk.Folder, it *item, why string) (removed bool, err error) {
	return s.lose(root, it, Evicted, fmt.Errorf("%w: removed from the spool to make room: %s", sink.ErrLost, why))
}

// lose removes an item that was not delivered and tells why.
func (s *Spool) lose(root disk.Folder, it *item, o Outcome, why error) (removed bool, err error) {
	c, err := s.claim(root, s.pathOf(it))
	if errors.Is(err, errGone) {
		s.mu.Lock()
		s.state.drop(it)
		s.broadcast()
		s.mu.Unlock()
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.release()
	if err := c.remove(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.delivered {
		s.state.drop(it) // nothing was lost
		s.broadcast()
		return false, nil
	}
	s.finish(it, s.resultOf(it, o, why))
	return true, nil
}

// pathOf returns where an item lies.
func (s *Spool) pathOf(it *item) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.failed {
		return s.path(failedDir, it.name)
	}
	return s.path(itemsDir, it.name)
}

// resultOf describes the end of an item. The caller has mu.
func (s *Spool) resultOf(it *item, o Outcome, err error) Result {
	r := Result{
		Identity: it.id, Size: max(it.size-trailerLen, 0), Outcome: o, Err: err,
		Attempts: it.attempts, Took: it.took,
	}
	if it.meta != nil {
		r.Age = max(time.Since(it.meta.put), 0)
	}
	return r
}

// finish notes and tells the end of an item that was not delivered. The caller
// has mu.
func (s *Spool) finish(it *item, r Result) {
	st := &s.state
	switch r.Outcome {
	case Evicted:
		st.counts.evicted++
	case Expired:
		st.counts.expired++
	case GivenUp:
		st.counts.givenUp++
	case Damaged:
		st.counts.damage++
	}
	st.recent.add(r.Identity.ID, r.Outcome)
	if r.Outcome == GivenUp {
		st.setAside(it)
	} else {
		st.drop(it)
	}
	s.events.result(r)
	s.broadcast()
}

// damage sets a damaged file aside, or removes it if that is not possible, and
// tells about it.
func (s *Spool) damage(c *claim, why error) error {
	name := path.Base(c.name)
	size := c.info.Size()
	if err := s.move(c, damagedDir); err != nil {
		return err
	}
	s.mu.Lock()
	st := &s.state
	st.damagedItems++
	st.damagedBytes += size
	it := st.items[name]
	if it == nil {
		id, _ := parseItemName(name)
		it = &item{name: name, id: id, size: size, place: -1}
	}
	r := s.resultOf(it, Damaged, fmt.Errorf("%w: %w", sink.ErrLost, why))
	s.finish(it, r)
	over := st.damagedItems > maxDamaged || st.damagedBytes > s.cfg.MaxBytes/8
	s.mu.Unlock()
	s.trouble(TroubleDamaged, fmt.Errorf("%s: %w; it was moved to %s", name, why, s.path(damagedDir)))
	if over {
		s.trimDamaged(c)
	}
	return nil
}

// trimDamaged removes damaged files until the rest keeps its bounds: those that
// exceed them alone, then the oldest. The caller has claimed one of them.
func (s *Spool) trimDamaged(own *claim) {
	files := s.damagedFiles(own.root)
	most := s.cfg.MaxBytes / 8
	var gone, kept []damagedFile
	bytes := int64(0)
	for _, f := range files {
		if f.size > most {
			gone = append(gone, f)
			continue
		}
		kept = append(kept, f)
		bytes += f.size
	}
	for len(kept) > maxDamaged || bytes > most {
		bytes -= kept[0].size
		gone, kept = append(gone, kept[0]), kept[1:]
	}
	s.removeDamaged(own.root, gone, own)
}

type damagedFile struct {
	name string
	size int64
}

// damagedFiles returns the damaged files, the oldest first.
func (s *Spool) damagedFiles(root disk.Folder) []damagedFile {
	var files []damagedFile
	_, err := s.look(root, damagedDir, func(name string, size int64) { files = append(files, damagedFile{name, size}) })
	if err != nil {
		s.trouble(TroubleFolder, s.explain(err))
	}
	slices.SortFunc(files, func(a, b damagedFile) int { return strings.Compare(a.name, b.name) })
	return files
}

// removeDamaged removes damaged files, but for those that others have claimed.
func (s *Spool) removeDamaged(root disk.Folder, files []damagedFile, own *claim) (items int, bytes int64) {
	for _, f := range files {
		c := own
		if name := s.path(damagedDir, f.name); own == nil || own.name != name {
			var err error
			if c, err = s.claim(root, name); err != nil {
				continue
			}
		}
		if c.remove() == nil {
			items++
			bytes += f.size
		}
		if c != own {
			c.release()
		}
	}
	s.mu.Lock()
	s.state.damagedItems = max(s.state.damagedItems-items, 0)
	s.state.damagedBytes = max(s.state.damagedBytes-bytes, 0)
	s.mu.Unlock()
	return items, bytes
}

// dropDamaged removes damaged files, whose loss was told before, to make room.
func (s *Spool) dropDamaged(root disk.Folder, l lack) lack {
	s.mu.Lock()
	some := s.state.damagedItems > 0
	s.mu.Unlock()
	if !some {
		return l
	}
	files := s.damagedFiles(root)
	n := 0
	for items, bytes := 0, int64(0); n < len(files) && (items < l.items || bytes < l.bytes); n++ {
		items++
		bytes += files[n].size
	}
	items, bytes := s.removeDamaged(root, files[:n], nil)
	l.items -= items
	l.bytes -= bytes
	return l
}

// expire removes what is too old, and for which an upload has failed or could
// not even be tried.
func (s *Spool) expire(root disk.Folder) {
	s.mu.Lock()
	down := s.breaker.down()
	s.mu.Unlock()
	n := 0
	for _, it := range s.itemsNow(func(it *item) bool {
		return it.flight == nil && it.meta != nil && time.Since(it.meta.put) > s.cfg.MaxAge &&
			(it.failed || it.refused || down) && !it.delivered
	}) {
		removed, err := s.lose(root, it, Expired, s.expiredError())
		if removed {
			n++
		}
		if err != nil && !errors.Is(err, errBusy) {
			s.trouble(TroubleItem, s.explain(err))
		}
	}
	s.tellExpired(n)
}

func (s *Spool) expiredError() error {
	return fmt.Errorf("%w: it could not be delivered within %v", sink.ErrLost, s.cfg.MaxAge)
}

func (s *Spool) tellExpired(n int) {
	if n > 0 {
		s.trouble(TroubleExpired, fmt.Errorf("%d dumps for %s are lost: they lay in spool %s for more than %v", n, s.name, s.dir, s.cfg.MaxAge))
	}
}

// shrink keeps the bounds in the background: they may have been lowered, or other
// processes may have counted late.
func (s *Spool) shrink(root disk.Folder) {
	s.mu.Lock()
	st := &s.state
	over := len(st.items)+st.damagedItems > s.cfg.MaxItems || st.bytes+st.damagedBytes > s.cfg.MaxBytes
	s.mu.Unlock()
	if !over {
		return
	}
	if err := s.makeRoom(s.base, root, need{}, classPanic); err != nil && s.base.Err() == nil {
		s.trouble(TroubleFolder, fmt.Errorf("spool %s: %w", s.dir, err))
	}
}
