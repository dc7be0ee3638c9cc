package local_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

func newIdentity() dump.Identity {
	return dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{1, 2, 3}, Service: "shop"}
}

func content() *bytes.Reader { return bytes.NewReader([]byte("the dump")) }

// count returns how many dumps List shows.
func count(t *testing.T, s sink.Sink) int {
	t.Helper()
	n := 0
	for _, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestNew(t *testing.T) {
	for _, dir := range []string{"", "a\x00b"} {
		if s, err := local.New(dir); err == nil {
			t.Errorf("New(%q) = %v", dir, s)
		}
	}
	wd, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(wd)
	s := newSink(t, "dumps")
	t.Chdir(t.TempDir())
	if want := filepath.Join(wd, "dumps"); s.Dir() != want || s.String() != "local folder "+want {
		t.Errorf("%v in %q, want %q", s, s.Dir(), want)
	}
}

// TestTouchesNothing checks that only a Put makes the folder.
func TestTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dumps")
	s, id := newSink(t, dir), newIdentity()
	_ = s.URI(id)
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 0 || err != nil {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	if n := count(t, s); n != 0 {
		t.Errorf("List shows %d dumps", n)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := s.Open(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}

func TestURI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%41?#ü")
	s, id := newSink(t, dir), newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URI(id))
	if err != nil || u.Scheme != "file" || u.Host != "" || u.RawQuery != "" || u.Fragment != "" {
		t.Fatalf("URI %q: %v", s.URI(id), err)
	}
	if b, err := os.ReadFile(filepath.FromSlash(u.Path)); err != nil || string(b) != "the dump" {
		t.Errorf("the file of %q: %q, %v", s.URI(id), b, err)
	}
	if b, err := os.ReadFile(s.Path(id)); err != nil || string(b) != "the dump" {
		t.Errorf("the file %q: %q, %v", s.Path(id), b, err)
	}
}

// TestMarkerRepaired is about a process that died between dump and marker.
func TestMarkerRepaired(t *testing.T) {
	s, id := newSink(t, t.TempDir()), newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.Dir(), sink.DayKey(id))); err != nil {
		t.Fatal(err)
	}
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 1 || err != nil {
		t.Errorf("Trace without the marker: %v, %v", entries, err)
	}
	if n := count(t, s); n != 0 {
		t.Errorf("List shows %d dumps without the marker", n)
	}
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("List shows %d dumps after the second Put", n)
	}
}

// TestMarkerWithoutDump is about a Delete that did not get to its end.
func TestMarkerWithoutDump(t *testing.T) {
	s, id := newSink(t, t.TempDir()), newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Path(id)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 0 {
		t.Errorf("List shows %d dumps that are not there", n)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: dump.Identity{ID: id.ID, TraceID: id.TraceID}}); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if left := keys(t, s.Dir()); len(left) != 0 {
		t.Errorf("left after Delete: %q", left)
	}
}

// TestDeleteFolders checks that Delete takes the empty folders along.
func TestDeleteFolders(t *testing.T) {
	s, a, b := newSink(t, t.TempDir()), newIdentity(), newIdentity()
	b.Service, b.TraceID = "till", dump.TraceID{9}
	for _, id := range []dump.Identity{a, b} {
		if err := s.Put(t.Context(), id, content()); err != nil {
			t.Fatal(err)
		}
	}
	folders := func() (n int) {
		err := filepath.WalkDir(s.Dir(), func(_ string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// The store, v1, tmp, traces, days; two traces; year, month, day; two services.
	if n := folders(); n != 12 {
		t.Errorf("%d folders with two dumps, want 12", n)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: a}); err != nil {
		t.Fatal(err)
	}
	if n := folders(); n != 10 {
		t.Errorf("%d folders with one dump, want 10", n)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: b}); err != nil {
		t.Fatal(err)
	}
	if n := folders(); n != 5 {
		t.Errorf("%d folders with no dump, want 5", n)
	}
	if err := s.Put(t.Context(), a, content()); err != nil {
		t.Errorf("Put after all folders are gone: %v", err)
	}
}

// TestFileInPlaceOfFolder puts a file wherever the store needs a folder.
func TestFileInPlaceOfFolder(t *testing.T) {
	id := newIdentity()
	trace, day := filepath.Dir(sink.TraceKey(id)), filepath.Dir(sink.DayKey(id))
	for _, tc := range []struct {
		name    string
		reading bool // a listing runs into it too
	}{
		{".", true},
		{"..", true},
		{"v1", true},
		{"v1/tmp", false},
		{"v1/traces", true},
		{trace, true},
		{"v1/days", true},
		{filepath.Dir(day), false}, // foreign for List, which reads its parent
		{day, false},
	} {
		t.Run(strings.ReplaceAll(tc.name, "/", "_"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "parent", "dumps")
			s := newSink(t, dir)
			file := filepath.Join(dir, tc.name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := s.Put(t.Context(), id, content())
			if err == nil || sink.IsPermanent(err) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Put: %v, want an error that names the folder and is not permanent", err)
			}
			t.Log(err)
			for _, key := range keys(t, filepath.Dir(filepath.Dir(dir))) {
				if strings.HasSuffix(key, ".tmp") {
					t.Errorf("Put has left %s", key)
				}
			}
			if b, err := os.ReadFile(file); string(b) != "mine" {
				t.Errorf("the file in the way was changed to %q, %v", b, err)
			}
			_, traceErr := s.Trace(t.Context(), id.TraceID)
			var listErr error
			for _, err := range s.List(t.Context(), sink.Query{}) {
				listErr = err
			}
			if tc.reading && traceErr == nil && listErr == nil {
				t.Error("neither Trace nor List tell of the file in the way")
			}
		})
	}
}

// TestFolderInPlaceOfFile is the other way round.
func TestFolderInPlaceOfFile(t *testing.T) {
	s, id := newSink(t, t.TempDir()), newIdentity()
	if err := os.MkdirAll(s.Path(id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), id, content()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Put: %v", err)
	}
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 0 || err != nil {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	if _, err := s.Open(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
}

// TestLinks checks that no symbolic link in the store leads out of it.
func TestLinks(t *testing.T) {
	outside := newSink(t, t.TempDir())
	secret := newIdentity()
	if err := outside.Put(t.Context(), secret, content()); err != nil {
		t.Fatal(err)
	}
	before := keys(t, outside.Dir())
	link := func(dir, name, target string) {
		t.Helper()
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	for _, name := range []string{
		"v1", "v1/traces", "v1/days", "v1/tmp",
		filepath.Dir(sink.TraceKey(secret)), sink.TraceKey(secret),
		filepath.Dir(sink.DayKey(secret)), sink.DayKey(secret),
	} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			s := newSink(t, t.TempDir())
			link(s.Dir(), name, filepath.Join(outside.Dir(), name))
			if entries, _ := s.Trace(t.Context(), secret.TraceID); len(entries) != 0 {
				t.Error("Trace shows the dump outside")
			}
			for _, err := range s.List(t.Context(), sink.Query{}) {
				if err == nil {
					t.Error("List shows the dump outside")
				}
			}
			if obj, err := s.Open(t.Context(), sink.Entry{Identity: secret}); err == nil {
				obj.Close()
				t.Error("Open opens the dump outside")
			}
			// Either of these may succeed or fail, but not out there.
			_ = s.Put(t.Context(), secret, content())
			_ = s.Put(t.Context(), newIdentity(), content())
			_ = s.Delete(t.Context(), sink.Entry{Identity: secret})
			if after := keys(t, outside.Dir()); !slices.Equal(after, before) {
				t.Errorf("outside there are now %q, there were %q", after, before)
			}
		})
	}

	// The store itself may lie behind a link.
	behind := filepath.Join(t.TempDir(), "dumps")
	link(filepath.Dir(behind), "dumps", outside.Dir())
	s := newSink(t, behind)
	if n := count(t, s); n != 1 {
		t.Errorf("List behind a link shows %d dumps, want 1", n)
	}
	if err := s.Put(t.Context(), newIdentity(), content()); err != nil {
		t.Errorf("Put behind a link: %v", err)
	}
}
