package spool

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestNew(t *testing.T) {
	for _, dir := range []string{"", "a\x00b"} {
		if s, err := New(newStore(), Config{Dir: dir}); err == nil {
			t.Errorf("New with the folder %q: %v", dir, s)
		}
	}
	if s, err := New(nil, Config{Dir: t.TempDir()}); err == nil {
		t.Errorf("New without a destination: %v", s)
	}
	wd, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(wd)
	s := newTestSpool(t, newStore(), Config{Dir: "spool", Passive: true})
	t.Chdir(t.TempDir())
	if want := filepath.Join(wd, "spool"); s.Dir() != want || s.String() != "memory by way of spool "+want {
		t.Errorf("%v in %q, want %q", s, s.Dir(), want)
	}
}

func TestDefaults(t *testing.T) {
	want := Config{
		MaxBytes: 1 << 30, MaxItems: 10_000, MaxAge: 168 * time.Hour, MinFree: 256 << 20, Concurrency: 2,
		AttemptTimeout: time.Minute, MinBackoff: time.Second, MaxBackoff: 5 * time.Minute,
	}
	got := Config{}.withDefaults()
	if got.GiveUpAfter < 100*365*24*time.Hour {
		t.Errorf("GiveUpAfter is %v", got.GiveUpAfter)
	}
	got.GiveUpAfter = 0
	if got.MaxBytes != want.MaxBytes || got.MaxItems != want.MaxItems || got.MaxAge != want.MaxAge || got.MinFree != want.MinFree ||
		got.Concurrency != want.Concurrency || got.AttemptTimeout != want.AttemptTimeout ||
		got.MinBackoff != want.MinBackoff || got.MaxBackoff != want.MaxBackoff {
		t.Errorf("the defaults are %+v, want %+v", got, want)
	}
	none := Config{MaxBytes: -1, MaxItems: -1, MaxAge: -1, MinFree: -1, Concurrency: -1, MinBackoff: time.Hour, MaxBackoff: time.Second}.withDefaults()
	if none.MaxBytes < 1<<60 || none.MaxItems < 1<<30 || none.MaxAge < 1<<60 || none.MinFree != 0 || none.Concurrency != 2 || none.MaxBackoff != time.Hour {
		t.Errorf("without limits: %+v", none)
	}
}

func TestDefaultDir(t *testing.T) {
	home, state, tmp := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, tc := range []struct{ state, home, want string }{
		{state, home, filepath.Join(state, "coredumpy", "spool")},
		{"", home, filepath.Join(home, ".local", "state", "coredumpy", "spool")},
		{"relative", home, filepath.Join(home, ".local", "state", "coredumpy", "spool")},
		{"", "", ""},
		{"", "/", ""},
		{"", "/nonexistent", ""},
		{"", "relative", ""},
	} {
		if runtime.GOOS == "windows" && tc.state != state {
			continue
		}
		t.Setenv("XDG_STATE_HOME", tc.state)
		t.Setenv("HOME", tc.home)
		got, err := DefaultDir()
		if err != nil {
			t.Fatal(err)
		}
		if tc.want == "" {
			if filepath.Dir(filepath.Dir(got)) != filepath.Clean(tmp) || filepath.Base(got) != "spool" {
				t.Errorf("%+v: %q, want a folder in %q", tc, got, tmp)
			}
		} else if got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

// TestTouchesNothing checks that only a Put makes the folder.
func TestTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	w := &witness{}
	s, id := newTestSpool(t, newStore(), w.watch(Config{Dir: dir})), newIdentity()
	awaitSweep(s)
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 0 || err != nil {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	for e, err := range s.List(t.Context(), sink.Query{}) {
		t.Errorf("List: %v, %v", e, err)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if items, err := s.Items(t.Context()); len(items) != 0 || err != nil {
		t.Errorf("Items: %v, %v", items, err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if err := s.Forward(t.Context(), id.ID); !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("Forward: %v", err)
	}
	shutdown(t, s)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if kinds := w.kinds(); len(kinds) > 0 {
		t.Errorf("was told of %v", kinds)
	}
}

func TestItems(t *testing.T) {
	dest := newStore()
	s := newTestSpool(t, dest, Config{Passive: true})
	id := newIdentity()
	before := time.Now()
	b := dumpOf(t, id, dump.TriggerManual)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	bad := newIdentity()
	path := filepath.Join(s.dir, s.home, itemsDir)
	if err := os.WriteFile(filepath.Join(path, itemName(bad)), []byte("x"), fileMode); err != nil {
		t.Fatal(err)
	}
	items, err := s.Items(t.Context())
	if err != nil || len(items) != 2 {
		t.Fatalf("Items: %+v, %v", items, err)
	}
	it := items[0]
	if it.Identity != id || it.Size != int64(len(b)) || it.State != Waiting || it.Trigger != dump.TriggerManual ||
		it.Path != filepath.Join(path, itemName(id)) || it.Put.Before(before) || it.Put.After(time.Now()) || it.Err != nil {
		t.Errorf("Items: %+v", it)
	}
	if it := items[1]; it.ID != bad.ID || !errors.Is(it.Err, errDamaged) || it.Size != 1 {
		t.Errorf("Items: %+v", it)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Items(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Items: %v", err)
	}
}

// TestForeign puts into the folder what does not belong there. It stays as it is,
// and disturbs nothing.
func TestForeign(t *testing.T) {
	dir, dest, w := t.TempDir(), newStore(), &witness{}
	s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	good := newIdentity()
	put(t, s, good, 1000)
	outside := filepath.Join(t.TempDir(), "secret")
	gone := newIdentity()
	secret := itemOf(t, gone, []byte("secret"), "", time.Now())
	if err := os.WriteFile(outside, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := map[string]func(path string) error{
		"README":                                 func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		"not-an-id.cdmp":                         func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		itemName(newIdentity()) + ".tmp":         func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		strings.ToUpper(itemName(newIdentity())): func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		"new\nline.cdmp":                         func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		itemName(newIdentity()):                  func(p string) error { return os.Mkdir(p, 0o700) },
		itemName(gone):                           func(p string) error { return os.Symlink(outside, p) },
		itemName(newIdentity()) + "x":            func(p string) error { return os.Symlink("/nonexistent", p) },
	}
	for k, v := range special(t) {
		foreign[k] = v
	}
	planted := 0
	for _, sub := range []string{itemsDir, failedDir, damagedDir, tmpDir} {
		if err := os.MkdirAll(filepath.Join(dir, s.home, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, plant := range foreign {
			if err := plant(filepath.Join(dir, s.home, sub, name)); err != nil {
				t.Logf("%q: %v", name, err)
				continue
			}
			planted++
		}
	}
	state := func() []string {
		var list []string
		err := filepath.WalkDir(filepath.Join(dir, s.home), func(path string, d fs.DirEntry, err error) error {
			list = append(list, path+" "+d.Type().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := state()
	done := make(chan struct{})
	go func() {
		defer close(done)
		active := newTestSpool(t, dest, w.watch(Config{Dir: dir}))
		awaitSweep(active)
		if err := active.Flush(context.Background()); err != nil {
			t.Errorf("Flush: %v", err)
		}
		if st := active.Stats(); st.Foreign != planted/4 || st.Items != 0 {
			t.Errorf("%+v, want %d foreign files", st, planted/4)
		}
		n := 0
		for e, err := range active.List(context.Background(), sink.Query{}) {
			if n++; e.ID != good.ID || err != nil {
				t.Errorf("List: %+v, %v", e, err)
			}
		}
		for name := range foreign {
			if id, ok := parseItemName(name); ok {
				if _, err := readAll(t, active, id); err == nil {
					t.Errorf("Open of %q: no error", name)
				}
			}
		}
		if _, err := active.Push(context.Background(), nil); err != nil {
			t.Errorf("Push: %v", err)
		}
		shutdown(t, active)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("something waits for a named pipe")
	}
	if _, puts := dest.has(good.ID); puts != 1 || dest.count() != 1 {
		t.Errorf("the dump has arrived %d times, %d dumps have arrived", puts, dest.count())
	}
	gones := 0
	after := state()
	for _, line := range before {
		if !slices.Contains(after, line) {
			gones++
			if !strings.Contains(line, itemName(good)) {
				t.Errorf("%s is gone", line)
			}
		}
	}
	if b, err := os.ReadFile(outside); err != nil || !bytes.Equal(b, secret) {
		t.Errorf("the file outside was changed: %v", err)
	}
	if kinds := w.kinds(); len(kinds) > 0 {
		w.log(t)
	}

	// A Put whose place is taken by something foreign says so.
	for name := range foreign {
		id, ok := parseItemName(name)
		if !ok {
			continue
		}
		if err := s.Put(t.Context(), id, bytes.NewReader(nil)); err == nil {
			t.Errorf("Put of %s: no error although something else is there", name)
		}
	}
}

// TestLinksLeadNowhere has symbolic links in the place of folders.
func TestLinksLeadNowhere(t *testing.T) {
	for _, sub := range []string{"", itemsDir, failedDir, damagedDir, tmpDir} {
		t.Run(sub, func(t *testing.T) {
			outside := t.TempDir()
			other := newTestSpool(t, newStore(), Config{Dir: outside, Passive: true})
			secret := newIdentity()
			put(t, other, secret, 100)
			before := filesBelow(t, outside)
			dest, dir := newStore(), t.TempDir()
			link := filepath.Join(dir, other.home, sub)
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(outside, other.home, sub), link); err != nil {
				t.Skipf("no symbolic links here: %v", err)
			}
			s := newTestSpool(t, dest, Config{Dir: dir})
			id := newIdentity()
			if err := s.Put(t.Context(), id, bytes.NewReader(nil)); err == nil || !strings.Contains(err.Error(), s.dir) {
				t.Errorf("Put: %v", err)
			}
			_, _ = s.Push(t.Context(), nil)
			_ = s.Delete(t.Context(), sink.Entry{Identity: secret})
			if _, err := readAll(t, s, secret); err == nil {
				t.Error("Open opens the dump outside")
			}
			if entries, _ := s.Trace(t.Context(), secret.TraceID); slices.ContainsFunc(entries, func(e sink.Entry) bool { return e.ID == secret.ID }) {
				t.Error("Trace shows the dump outside")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = s.Shutdown(ctx)
			if after := filesBelow(t, outside); !slices.Equal(after, before) {
				t.Errorf("outside there are now %q, there were %q", after, before)
			}
			if _, puts := dest.has(secret.ID); puts != 0 {
				t.Error("the dump outside was uploaded")
			}
		})
	}
}

// TestNewerVersion leaves items alone that a later program has written.
func TestNewerVersion(t *testing.T) {
	dir, dest, w := t.TempDir(), newStore(), &witness{}
	s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	id := newIdentity()
	put(t, s, id, 10)
	name := filepath.Join(dir, s.home, itemsDir, itemName(id))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-trailerLen+8] = trailerVersion + 1
	if err := os.WriteFile(name, reseal(b), fileMode); err != nil {
		t.Fatal(err)
	}
	active := newTestSpool(t, dest, w.watch(Config{Dir: dir}))
	for {
		settled(t, active)
		if w.kinds()[TroubleItem] > 0 {
			break
		}
		until(t, active, "the attempt", func(Stats) bool { return w.kinds()[TroubleItem] > 0 || active.events.wait(t.Context()) == nil })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := active.Shutdown(ctx); err == nil {
		t.Error("Shutdown: no error although a dump is left")
	}
	wantFiles(t, s, itemsDir+"/"+itemName(id))
	if err := s.Put(t.Context(), id, bytes.NewReader(nil)); err != nil {
		t.Errorf("Put of the same dump: %v", err)
	}
	if dest.count() != 0 || w.kinds()[TroubleDamaged] != 0 {
		t.Errorf("%d dumps have arrived, was told of %v", dest.count(), w.kinds())
	}
}

// TestBadSources are those that the conformance suite does not have.
func TestBadSources(t *testing.T) {
	s := newTestSpool(t, newStore(), Config{Passive: true})
	if err := s.Put(t.Context(), newIdentity(), negative{bytes.NewReader(nil)}); !sink.IsPermanent(err) {
		t.Errorf("a negative size: %v", err)
	}
	wantFiles(t, s)
	func() {
		defer func() { _ = recover() }()
		_ = s.Put(t.Context(), newIdentity(), panicking{bytes.NewReader(make([]byte, 3*copySize))})
		t.Error("Put has contained a panic that is not its own")
	}()
	wantFiles(t, s)
	if st := s.Stats(); st.Items != 0 || s.state.reservedItems != 0 || s.state.reservedBytes != 0 {
		t.Errorf("%+v", st)
	}
	if len(s.names.m) > 0 {
		t.Errorf("%v is still locked", s.names.m)
	}
}

// panicking panics in the middle.
type panicking struct{ *bytes.Reader }

func (p panicking) ReadAt(b []byte, off int64) (int, error) {
	if off >= copySize {
		panic("oops")
	}
	return p.Reader.ReadAt(b, off)
}

type negative struct{ *bytes.Reader }

func (negative) Size() int64 { return -1 }
