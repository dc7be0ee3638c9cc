package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// Stats is what a Spool knows without looking at the disk: a passive one knows
// little until it was used, and what other processes do is known after the next
// regular look at the folder.
type Stats struct {
	Items  int       // waiting for their upload, or being uploaded
	Bytes  int64     // of them, as they lie on the disk
	Oldest time.Time // when the oldest of them was put; zero if there is none

	FailedItems int // given up, in failed/
	FailedBytes int64

	DamagedItems int // in damaged/
	DamagedBytes int64

	Foreign int // files that should not be there

	Uploading int     // attempts under way in this process
	Stuck     int     // calls of the destination that ignore their context
	Breaker   Breaker // whether the destination is left alone
	Until     time.Time
	LastError error // of an upload; nil if none has failed

	// What this Spool has done since it was made. Attempts and Failures count
	// uploads, the rest dumps.
	Attempts, Failures                            uint64
	Delivered, Evicted, Expired, GivenUp, Damaged uint64

	// EventsDropped counts calls of OnResult and OnTrouble that were not made
	// because earlier ones did not return, and those that panicked.
	EventsDropped uint64
}

// Breaker is the state of the circuit breaker of a destination.
type Breaker string

// The states.
const (
	BreakerClosed   Breaker = "closed"    // uploads are made
	BreakerOpen     Breaker = "open"      // the destination is left alone
	BreakerHalfOpen Breaker = "half_open" // one upload tries whether it is back
)

// Stats returns numbers for metrics. It does no I/O.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	x := Stats{
		FailedItems: st.failedItems, FailedBytes: st.failedBytes,
		DamagedItems: st.damagedItems, DamagedBytes: st.damagedBytes,
		Foreign: st.foreign, Stuck: st.stuck, LastError: st.last, Breaker: BreakerClosed,
		Attempts: st.counts.attempts, Failures: st.counts.failures,
		Delivered: st.counts.delivered, Evicted: st.counts.evicted, Expired: st.counts.expired,
		GivenUp: st.counts.givenUp, Damaged: st.counts.damage,
	}
	x.Items, x.Bytes = st.waiting()
	for _, it := range st.items {
		if it.flight != nil {
			x.Uploading++
		}
		if it.failed {
			continue
		}
		put := it.id.ID.Time()
		if it.meta != nil {
			put = it.meta.put
		}
		if x.Oldest.IsZero() || put.Before(x.Oldest) {
			x.Oldest = put
		}
	}
	if s.breaker.down() {
		x.Breaker, x.Until = BreakerHalfOpen, s.breaker.until
		if time.Now().Before(x.Until) {
			x.Breaker = BreakerOpen
		}
	}
	s.events.mu.Lock()
	x.EventsDropped = s.events.dropped
	s.events.mu.Unlock()
	return x
}

// State says where in the spool a dump is.
type State string

// The states.
const (
	Waiting   State = "waiting"
	Uploading State = "uploading" // claimed by a process
	Failed    State = "failed"    // given up
	Broken    State = "damaged"
)

// Item is a dump in the spool.
type Item struct {
	dump.Identity
	Size    int64 // of the dump, or of the file if that is damaged
	State   State
	Put     time.Time    // zero if the file cannot be read
	Trigger dump.Trigger // "" if it is not known
	Path    string       // absolute
	Err     error        // why the file cannot be read or is damaged
}

// Items returns what lies in the spool for this destination, the oldest first. It
// reads the ends of all files, not their whole content. An error may come with those
// that could be read.
func (s *Spool) Items(ctx context.Context) ([]Item, error) {
	items, err := s.listItems(ctx)
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(slices.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.State, b.State))
	})
	if err != nil {
		err = fmt.Errorf("reading spool %s: %w", s.dir, s.explain(err))
	}
	return items, err
}

func (s *Spool) listItems(ctx context.Context) ([]Item, error) {
	root, err := s.openToRead()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var items []Item
	for _, place := range []struct {
		dir   string
		state State
	}{{itemsDir, Waiting}, {failedDir, Failed}, {damagedDir, Broken}} {
		_, err := s.look(root, place.dir, func(name string, size int64) {
			if ctx.Err() != nil {
				return
			}
			path := s.path(place.dir, name)
			it := Item{State: place.state, Size: size, Path: s.dir + string(os.PathSeparator) + path}
			it.Identity, _ = parseItemName(name)
			t, _, err := s.peek(root, path, name)
			switch {
			case errors.Is(err, errGone):
				return
			case err != nil:
				it.Err = err
			default:
				it.Identity, it.Size, it.Put, it.Trigger = t.id, t.size, t.put, t.trigger
			}
			if it.State == Waiting && s.isClaimed(root, path) {
				it.State = Uploading
			}
			items = append(items, it)
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return items, err
		}
	}
	return items, nil
}

// isClaimed reports whether a file is claimed, by claiming it for a moment.
func (s *Spool) isClaimed(root disk.Folder, path string) bool {
	c, err := s.claim(root, path)
	if err == nil {
		c.release()
	}
	return errors.Is(err, errBusy)
}

// Backlog is what lies in a spool folder for one destination.
type Backlog struct {
	Destination string // its String, "" if the folder does not tell
	Folder      string // absolute
	Items       int    // waiting
	Bytes       int64
	Failed      int // given up
	Damaged     int
}

// Backlogs returns what lies in a spool folder, by destination. It tells of destinations
// that nobody is configured for any more.
func Backlogs(dir string) ([]Backlog, error) {
	abs, err := absolute(dir)
	if err != nil {
		return nil, err
	}
	list, err := backlogs(abs, disk.OS)
	if err != nil {
		return nil, fmt.Errorf("reading spool %s: %w", abs, err)
	}
	return list, nil
}

func backlogs(dir string, sys disk.System) ([]Backlog, error) {
	root, err := sys.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	homes, err := readDir(root, ".")
	if err != nil {
		return nil, err
	}
	var list []Backlog
	for _, h := range homes {
		if !h.IsDir() || !isHome(h.Name()) {
			continue
		}
		s := Spool{dir: dir, home: h.Name(), sys: sys}
		b := Backlog{Destination: readLabel(root, s.path(labelFile)), Folder: dir + string(os.PathSeparator) + s.home}
		for _, place := range []struct {
			dir   string
			count *int
		}{{itemsDir, &b.Items}, {failedDir, &b.Failed}, {damagedDir, &b.Damaged}} {
			_, err := s.look(root, place.dir, func(_ string, size int64) {
				*place.count++
				if place.dir == itemsDir {
					b.Bytes += size
				}
			})
			if err != nil {
				return list, err
			}
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b Backlog) int { return cmp.Compare(a.Folder, b.Folder) })
	return list, nil
}

// isHome reports whether homeOf can have made the name.
func isHome(name string) bool {
	if len(name) != 16 {
		return false
	}
	for _, c := range name {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
