package local

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// litter makes a store with everything in it that Sweep is for, and some things
// that it must not touch. It returns the dumps that are there.
func litter(t *testing.T, dir string) (dumps []dump.Identity) {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	put := func(id dump.Identity, content []byte) dump.Identity {
		if err := s.Put(t.Context(), id, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	remove := func(key string) {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(key))); err != nil {
			t.Fatal(err)
		}
	}
	plant := func(key string, age time.Duration) {
		p := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(p), dirMode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("12345"), fileMode); err != nil {
			t.Fatal(err)
		}
		touch(t, p, age)
	}
	other := func(service string) dump.Identity {
		id := newIdentity()
		id.Service, id.TraceID = service, dump.TraceID(dump.NewID())
		return id
	}

	dumps = append(dumps, put(newIdentity(), []byte("whole")), put(newIdentity(), nil))

	orphan := put(newIdentity(), []byte("gone"))
	remove(sink.TraceKey(orphan))
	alone := put(other("alone"), []byte("gone")) // the only one of its service
	remove(sink.TraceKey(alone))
	if err := os.Remove(filepath.Dir(s.Path(alone))); err != nil {
		t.Fatal(err)
	}

	var buf bytes.Buffer
	unlisted := other("basket")
	if _, err := dump.NewWriter(&buf).Close(&dump.Header{Identity: unlisted}); err != nil {
		t.Fatal(err)
	}
	put(unlisted, buf.Bytes())
	garbage := put(other("basket"), []byte("no dump"))
	young := put(other("basket"), buf.Bytes())
	for _, id := range []dump.Identity{unlisted, garbage, young} {
		remove(sink.DayKey(id))
	}
	touch(t, s.Path(unlisted), 2*unlistedAfter)
	touch(t, s.Path(garbage), 2*unlistedAfter)
	dumps = append(dumps, unlisted, garbage, young)

	plant(tmpName(dump.NewID()), staleAfter+time.Minute)
	plant(tmpName(dump.NewID()), staleAfter+time.Hour)
	plant(tmpName(dump.NewID()), time.Minute)
	plant(tmpDir+"/notes.tmp", 100*staleAfter)
	plant("v1/traces/README", 100*staleAfter)
	plant(sink.TracePrefix(newIdentity().TraceID)+"notes.txt", 100*staleAfter)
	plant(sink.DayPrefix(time.Now())+"shop/README", 100*staleAfter)
	for _, dir2 := range []string{
		"v1/traces/" + strings.Repeat("ab", 16), "v1/days/2020/01/02/shop", "v1/days/2020/01/03", // empty
		"v1/days/2020/01/02/young",
		"v1/traces/foreign", "v1/days/2020/01/03/not%a%service", "v1/days/notes",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(dir2)), dirMode); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range folders(t, dir) {
		if filepath.Base(f) != "young" {
			touch(t, f, staleAfter+time.Minute)
		}
	}
	return dumps
}

func touch(t *testing.T, path string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func folders(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			list = append(list, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	dumps := litter(t, dir)
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.cleaned = time.Now() // or a Put would do a part of it
	before, foldersBefore := files(t, dir), folders(t, dir)

	// The empty trace, the folder of a service in 2020, and that of the baskets, which
	// is made again for their markers.
	want := Swept{TempFiles: 2, TempBytes: 10, Orphans: 2, Unlisted: 2, Folders: 3}
	found, err := s.Sweep(t.Context(), true)
	if err != nil || found != want {
		t.Errorf("dry run: %+v, %v; want %+v", found, err, want)
	}
	if got := files(t, dir); !slices.Equal(got, before) || len(folders(t, dir)) != len(foldersBefore) {
		t.Error("the dry run has changed something")
	}

	if found, err = s.Sweep(t.Context(), false); err != nil || found != want {
		t.Errorf("%+v, %v; want %+v", found, err, want)
	}
	if found, err = s.Sweep(t.Context(), false); err != nil || found != (Swept{}) {
		t.Errorf("the second time: %+v, %v", found, err)
	}
	var listed []string
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, e.ID.String()+" "+e.Service)
	}
	slices.Sort(listed)
	var wantListed []string
	for i, service := range []string{"shop", "shop", "basket", sink.UnknownService} { // and not the young one
		wantListed = append(wantListed, dumps[i].ID.String()+" "+service)
	}
	slices.Sort(wantListed)
	if !slices.Equal(listed, wantListed) {
		t.Errorf("listed are %q, want %q", listed, wantListed)
	}
	for _, id := range dumps {
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
		if err != nil {
			t.Error(err)
			continue
		}
		obj.Close()
	}
	after := files(t, dir)
	for _, want := range []string{"notes.tmp", "traces/README", "notes.txt", "shop/README"} {
		if !slices.ContainsFunc(after, func(f string) bool { return strings.HasSuffix(f, want) }) {
			t.Errorf("%s is gone", want)
		}
	}
	left := folders(t, dir)
	for _, want := range []string{"foreign", "not%a%service", "notes", "young"} {
		if !slices.ContainsFunc(left, func(f string) bool { return filepath.Base(f) == want }) {
			t.Errorf("the folder %s is gone", want)
		}
	}
	for _, gone := range []string{strings.Repeat("ab", 16), "01/02/shop", "alone"} {
		if slices.ContainsFunc(left, func(f string) bool { return strings.HasSuffix(filepath.ToSlash(f), gone) }) {
			t.Errorf("the folder %s is still there", gone)
		}
	}

	// A day later what was young goes as well, with the folder above it.
	s.now = func() time.Time { return time.Now().Add(staleAfter + time.Hour) }
	found, err = s.Sweep(t.Context(), false)
	if want := (Swept{TempFiles: 1, TempBytes: 5, Unlisted: 1, Folders: 2}); err != nil || found != want {
		t.Errorf("a day later: %+v, %v; want %+v", found, err, want)
	}
}

func TestSweepOfNothing(t *testing.T) {
	s, err := New(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.Sweep(t.Context(), false); err != nil || found != (Swept{}) {
		t.Errorf("%+v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sweep(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Whatever fails, no dump is lost, and the next Sweep does the rest.
func TestSweepEachOperationFails(t *testing.T) {
	failed := map[string]bool{}
	for n := 1; ; n++ {
		dir := t.TempDir()
		dumps := litter(t, dir)
		hit := ""
		s, _ := newFaulty(t, dir, func(i int, op string) error {
			if i == n {
				hit = op
				return syscall.EIO
			}
			return nil
		})
		_, err := s.Sweep(t.Context(), false)
		if hit == "" {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		failed[hit] = true
		if err != nil && (!errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), dir)) {
			t.Errorf("operation %d, %s: error %v", n, hit, err)
		}
		again, err := New(dir)
		if err == nil {
			_, err = again.Sweep(t.Context(), false)
		}
		if err != nil {
			t.Errorf("operation %d, %s: the Sweep after it: %v", n, hit, err)
		}
		if found, err := again.Sweep(t.Context(), false); err != nil || found != (Swept{}) {
			t.Errorf("operation %d, %s: the one after that: %+v, %v", n, hit, found, err)
		}
		for _, id := range dumps {
			if _, err := os.Stat(again.Path(id)); err != nil {
				t.Errorf("operation %d, %s: %v", n, hit, err)
			}
		}
	}
	for _, op := range []string{"openroot", "readdir", "lstat", "remove", "openfile", "syncdir"} {
		if !failed[op] {
			t.Errorf("no %s has failed", op)
		}
	}
}

// Others store and delete while a Sweep goes on, and nothing of theirs is lost or
// left.
func TestSweepAmongOthers(t *testing.T) {
	dir := t.TempDir()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Now().Add(staleAfter / 2) } // no dump is too young
	stop := make(chan struct{})
	var sweeps, others sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Sweep(t.Context(), false); err != nil {
				t.Errorf("Sweep: %v", err)
				return
			}
		}
	})
	keep := make([][]dump.Identity, 4)
	for i := range keep {
		others.Go(func() {
			for n := range 30 {
				id := newIdentity()
				id.TraceID = dump.TraceID{byte(i + 1), byte(n % 3)}
				if err := s.Put(t.Context(), id, bytes.NewReader([]byte("x"))); err != nil {
					t.Errorf("Put: %v", err)
					continue
				}
				if n%2 == 0 {
					keep[i] = append(keep[i], id)
				} else if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	others.Wait()
	close(stop)
	sweeps.Wait()
	if _, err := s.Sweep(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	listed := map[dump.ID]bool{}
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed[e.ID] = true
	}
	n := 0
	for _, list := range keep {
		for _, id := range list {
			n++
			if !listed[id.ID] {
				t.Errorf("dump %s is not listed any more", id.ID)
			}
		}
	}
	if len(listed) != n {
		t.Errorf("%d dumps are listed, want %d", len(listed), n)
	}
}
