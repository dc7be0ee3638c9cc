package encrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// keyPair is a key of age and the file that it is in.
type keyPair struct {
	id   *age.X25519Identity
	pub  string
	file string
}

func newKey(tb testing.TB) keyPair {
	tb.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	return keyPair{id, id.Recipient().String(), writeFile(tb, "key.txt", "# created: now\n\n"+id.String()+"\n")}
}

// writeFile writes a file into a folder of its own.
func writeFile(tb testing.TB, name, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func newStore(tb testing.TB, inner sink.Sink, cfg Config) sink.Sink {
	tb.Helper()
	s, err := New(inner, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newIdentity() dump.Identity {
	return dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{1, 2, 3}, SpanID: dump.SpanID{4}, Service: "shop"}
}

// secrets are what must not be found anywhere outside.
var secrets = []string{"card number 4111", "hunter2hunter2", "SELECT * FROM accounts", "internal-host-17", "described by hand"}

// newDump makes a small dump with the secrets in it.
func newDump(tb testing.TB, id dump.Identity) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf)
	text := func(s string) dump.Value { return dump.Value{Type: 1, Bytes: []byte(s), Len: int64(len(s))} }
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	must(w.Type(&dump.Type{ID: 1, Name: "string", Kind: dump.String, Size: 16}))
	must(w.Goroutine(&dump.Goroutine{ID: 7, Failing: true, Status: "running", Frames: []dump.Frame{{
		Func: "shop/pay.Charge", File: "/src/pay.go", Line: 42, User: true,
		Vars: []dump.Variable{{Name: "password", Value: text("hunter2hunter2")}},
	}}}))
	must(w.Object(&dump.Object{ID: 1, Value: text(strings.Repeat("SELECT * FROM accounts ", 50))}))
	must(w.Source(&dump.Source{File: "/src/pay.go", Blocks: []dump.SourceBlock{{First: 42, Lines: []string{"return errDeclined"}}}}))
	_, err := w.Close(&dump.Header{
		Identity: id, Time: id.ID.Time(), Trigger: dump.TriggerPanic, SpanName: "POST /charge",
		Description: "described by hand", Host: "internal-host-17",
		Reason:  []dump.ErrorInfo{{Type: "*shop/pay.Declined", Message: "card number 4111 declined", Parent: -1, Panic: true}},
		Failing: dump.Location{Func: "shop/pay.Charge", File: "/src/pay.go", Line: 42, Goroutine: 7},
	})
	must(err)
	return buf.Bytes()
}

func put(tb testing.TB, s sink.Sink, id dump.Identity, b []byte) {
	tb.Helper()
	if err := s.Put(tb.Context(), id, bytes.NewReader(b)); err != nil {
		tb.Fatal(err)
	}
}

func get(tb testing.TB, s sink.Sink, id dump.Identity) []byte {
	tb.Helper()
	obj, err := s.Open(tb.Context(), sink.Entry{Identity: id})
	if err != nil {
		tb.Fatal(err)
	}
	defer obj.Close()
	b, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
	if err != nil {
		tb.Fatal(err)
	}
	if int64(len(b)) != obj.Size() {
		tb.Fatalf("%d bytes of an object of %d", len(b), obj.Size())
	}
	return b
}

func TestConformance(t *testing.T) {
	key := newKey(t)
	for name, c := range map[string]struct {
		cfg   Config
		spill bool // use temporary files
	}{
		"header outside": {cfg: Config{}},
		"header sealed":  {cfg: Config{SealHeader: true}},
		"large":          {spill: true},
	} {
		c.cfg.Recipients, c.cfg.Identities = []string{key.pub}, []string{key.file}
		c.cfg.TempDir = t.TempDir()
		wrap := func(t *testing.T, inner sink.Sink) sink.Sink {
			s := newStore(t, inner, c.cfg)
			if c.spill {
				s.(*store).inMemory = 0
			}
			return s
		}
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{
				New:    func(t *testing.T) sink.Sink { return wrap(t, memory.New("x")) },
				Reopen: func(t *testing.T, s sink.Sink) sink.Sink { return wrap(t, s.(*store).inner) },
				Keys:   func(_ *testing.T, s sink.Sink) []string { return s.(*store).inner.(*memory.Sink).Keys() },
			})
			wantEmpty(t, c.cfg.TempDir)
		})
	}
	t.Run("local", func(t *testing.T) {
		sinktest.Run(t, sinktest.Harness{
			New: func(t *testing.T) sink.Sink {
				inner, err := local.New(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				return newStore(t, inner, Config{Recipients: []string{key.pub}, Identities: []string{key.file}})
			},
		})
	})
	t.Run("twice", func(t *testing.T) { // the outer one seals, the inner one sees that it is
		other := newKey(t)
		sinktest.Run(t, sinktest.Harness{
			New: func(t *testing.T) sink.Sink {
				inner := newStore(t, memory.New("x"), Config{Recipients: []string{other.pub}, Identities: []string{key.file, other.file}})
				return newStore(t, inner, Config{Recipients: []string{key.pub}, Identities: []string{key.file}})
			},
		})
	})
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the temporary folder holds %v, %v", left, err)
	}
}

// What is stored is a sealed dump with the header that was asked for, and an age
// file that age itself decrypts to the plain dump, byte for byte.
func TestStoredForm(t *testing.T) {
	key, id := newKey(t), newIdentity()
	b := newDump(t, id)
	plainHeader, err := dump.ReadHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, seal := range []bool{false, true} {
		inner := memory.New("x")
		s := newStore(t, inner, Config{Recipients: []string{key.pub}, SealHeader: seal})
		put(t, s, id, b)
		stored := inner.Content(id)

		r, err := dump.NewReader(bytes.NewReader(stored), int64(len(stored)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(); err != nil || !r.Sealed() {
			t.Fatalf("sealed %t, verify: %v", r.Sealed(), err)
		}
		want := plainHeader.Searchable()
		if seal {
			want = plainHeader.KeyOnly()
		}
		want.FormatVersion, want.Missing = r.Header().FormatVersion, r.Header().Missing
		if got := fmt.Sprintf("%+v", r.Header()); got != fmt.Sprintf("%+v", want) {
			t.Errorf("seal %t: header\n%s, want\n%+v", seal, got, want)
		}
		if len(want.Missing) != 1 || want.Missing[0].Hint == "" {
			t.Errorf("the header does not say what is missing: %+v", want.Missing)
		}

		p, err := dump.SealedPayload(bytes.NewReader(stored), int64(len(stored)))
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(file, []byte("age-encryption.org/v1\n-> X25519 ")) {
			t.Errorf("the payload begins with %q", file[:40])
		}
		out, err := age.Decrypt(bytes.NewReader(file), key.id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(out); err != nil || !bytes.Equal(got, b) {
			t.Errorf("age decrypts it to %d bytes that differ, error %v", len(got), err)
		}
		// Without identities the sealed bytes are what one gets.
		if !bytes.Equal(get(t, s, id), stored) {
			t.Error("Open without identities gives other bytes than are stored")
		}
	}
}

// A dump whose header says less than its identity, or other things, is stored
// under the identity.
func TestHeaderFollowsIdentity(t *testing.T) {
	key := newKey(t)
	id := newIdentity()
	for name, b := range map[string][]byte{"no dump": []byte("something"), "another dump": newDump(t, newIdentity()), "empty": nil} {
		inner := memory.New("x")
		put(t, newStore(t, inner, Config{Recipients: []string{key.pub}}), id, b)
		h, err := dump.ReadHeader(bytes.NewReader(inner.Content(id)), int64(len(inner.Content(id))))
		if err != nil {
			t.Fatal(err)
		}
		if h.Identity != id || h.Time.IsZero() {
			t.Errorf("%s: header of %+v at %v, want %+v", name, h.Identity, h.Time, id)
		}
	}
}

// What the identity does not say is taken from the header.
func TestIdentityIsCompleted(t *testing.T) {
	whole := newIdentity()
	inner := memory.New("x")
	bare := dump.Identity{ID: whole.ID, TraceID: whole.TraceID}
	put(t, newStore(t, inner, Config{Recipients: []string{newKey(t).pub}}), bare, newDump(t, whole))
	h, err := dump.ReadHeader(bytes.NewReader(inner.Content(bare)), int64(len(inner.Content(bare))))
	if err != nil || h.Identity != whole {
		t.Errorf("header of %+v, want %+v; error %v", h.Identity, whole, err)
	}
}

func TestAlreadySealed(t *testing.T) {
	key, id := newKey(t), newIdentity()
	b := newDump(t, id)
	first := memory.New("first")
	put(t, newStore(t, first, Config{Recipients: []string{key.pub}}), id, b)
	sealed := first.Content(id)

	t.Run("stays as it is", func(t *testing.T) {
		second := memory.New("second")
		put(t, newStore(t, second, Config{Recipients: []string{newKey(t).pub}}), id, sealed)
		if !bytes.Equal(second.Content(id), sealed) {
			t.Error("it was changed")
		}
	})
	t.Run("needs no recipients", func(t *testing.T) {
		second := memory.New("second")
		s := newStore(t, second, Config{Identities: []string{key.file}})
		put(t, s, id, sealed)
		if !bytes.Equal(second.Content(id), sealed) || !bytes.Equal(get(t, s, id), b) {
			t.Error("it was changed")
		}
	})
	t.Run("loses its header", func(t *testing.T) {
		second := memory.New("second")
		s := newStore(t, second, Config{Recipients: []string{newKey(t).pub}, Identities: []string{key.file}, SealHeader: true})
		put(t, s, id, sealed)
		h, err := dump.ReadHeader(bytes.NewReader(second.Content(id)), int64(len(second.Content(id))))
		if err != nil {
			t.Fatal(err)
		}
		if h.SpanName != "" || h.Failing.Func != "" || h.Trigger != dump.TriggerPanic {
			t.Errorf("header %+v", h)
		}
		if !bytes.Equal(get(t, s, id), b) {
			t.Error("another dump comes out")
		}
	})
	t.Run("damaged", func(t *testing.T) {
		// It is not sure any more that nothing plain is in it, so it is encrypted.
		second := memory.New("second")
		torn := sealed[:len(sealed)-200]
		s := newStore(t, second, Config{Recipients: []string{key.pub}, Identities: []string{key.file}})
		put(t, s, id, torn)
		if !bytes.Equal(get(t, s, id), torn) {
			t.Error("other bytes come out")
		}
	})
}

// Nothing is ever stored unencrypted.
func TestNoRecipients(t *testing.T) {
	inner, id := memory.New("x"), newIdentity()
	s := newStore(t, inner, Config{Identities: []string{newKey(t).file}})
	err := s.Put(t.Context(), id, bytes.NewReader(newDump(t, id)))
	if err == nil || !sink.IsPermanent(err) || inner.Content(id) != nil {
		t.Errorf("error %v, and %d bytes are stored", err, len(inner.Content(id)))
	}
}

// Old dumps that were stored plain stay readable.
func TestPlainPassesThrough(t *testing.T) {
	inner, key := memory.New("x"), newKey(t)
	s := newStore(t, inner, Config{Recipients: []string{key.pub}, Identities: []string{key.file}})
	for _, b := range [][]byte{newDump(t, newIdentity()), []byte("no dump at all"), nil} {
		id := newIdentity()
		put(t, inner, id, b)
		if !bytes.Equal(get(t, s, id), b) {
			t.Errorf("%d bytes come out changed", len(b))
		}
	}
}

// forwarding is a store that forwards, shuts down and routes.
type forwarding struct {
	sink.Sink
	forwarded []dump.ID
	shut      int
}

func (f *forwarding) Forward(_ context.Context, id dump.ID) error {
	f.forwarded = append(f.forwarded, id)
	return errForward
}

func (f *forwarding) Shutdown(context.Context) error {
	f.shut++
	return errShutdown
}

func (f *forwarding) URIFor(_ dump.Identity, t dump.Trigger) string { return "uri of " + string(t) }

var (
	errForward  = errors.New("forward")
	errShutdown = errors.New("shutdown")
)

func TestOptionalInterfaces(t *testing.T) {
	cfg, id := Config{Recipients: []string{newKey(t).pub}}, newIdentity()
	bare := newStore(t, memory.New("x"), cfg)
	if _, ok := bare.(sink.Forwarder); ok {
		t.Error("it is a Forwarder in front of a store that is none")
	}
	if got := sink.URIFor(bare, id, dump.TriggerPanic); got != bare.URI(id) {
		t.Errorf("URIFor %q, want %q", got, bare.URI(id))
	}
	if err := sink.Shutdown(t.Context(), bare); err != nil {
		t.Errorf("Shutdown: %v", err)
	}

	inner := &forwarding{Sink: memory.New("x")}
	s := newStore(t, inner, cfg)
	f, ok := s.(sink.Forwarder)
	if !ok {
		t.Fatal("it is no Forwarder in front of one")
	}
	if err := f.Forward(t.Context(), id.ID); !errors.Is(err, errForward) || len(inner.forwarded) != 1 || inner.forwarded[0] != id.ID {
		t.Errorf("Forward: %v, %v", err, inner.forwarded)
	}
	if err := sink.Shutdown(t.Context(), s); !errors.Is(err, errShutdown) || inner.shut != 1 {
		t.Errorf("Shutdown: %v, %d times", err, inner.shut)
	}
	if got := sink.URIFor(s, id, dump.TriggerPanic); got != "uri of panic" {
		t.Errorf("URIFor %q", got)
	}
	if s.String() != inner.String() || s.URI(id) != inner.URI(id) {
		t.Errorf("%q at %q", s, s.URI(id))
	}
}

func TestNewRefuses(t *testing.T) {
	key := newKey(t)
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"nothing":         {Config{}, "neither recipients nor identities"},
		"mixed strengths": {Config{Recipients: []string{key.pub, pq.Recipient().String()}}, "post-quantum"},
		"bad recipient":   {Config{Recipients: []string{"age1x"}}, "recipient 1"},
		"no such file":    {Config{Identities: []string{"/does/not/exist"}}, "/does/not/exist"},
	} {
		_, err := New(memory.New("x"), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
	if _, err := New(nil, Config{Recipients: []string{key.pub}}); err == nil {
		t.Error("no store: no error")
	}
}

// The memory of a Put is the encrypted dump, and nothing near a second copy.
func TestBufferIsExact(t *testing.T) {
	key := newKey(t)
	ssh := newSSH(t, "ed25519", "")
	s := newStore(t, memory.New("x"), Config{Recipients: []string{key.pub, ssh.pub}}).(*store)
	for _, n := range []int{0, 1, ageChunk - 1, ageChunk, ageChunk + 1, 10 * ageChunk, 777_777} {
		buf, err := s.newBuffer(ageSize(s.headerLen, int64(n)))
		if err != nil {
			t.Fatal(err)
		}
		room := cap(buf.(*memoryBuffer).b)
		if err := s.encrypt(t.Context(), buf, bytes.NewReader(make([]byte, n))); err != nil {
			t.Fatal(err)
		}
		if got := buf.Size(); got != int64(room) || cap(buf.(*memoryBuffer).b) != room {
			t.Errorf("%d bytes: %d encrypted, room for %d was made", n, got, room)
		}
	}
}

// Large dumps go by way of a temporary file, which is gone afterwards, whatever
// happens.
func TestTemporaryFile(t *testing.T) {
	key, id := newKey(t), newIdentity()
	dir := t.TempDir()
	cfg := Config{Recipients: []string{key.pub}, Identities: []string{key.file}, TempDir: dir}
	inner := memory.New("x")
	s := newStore(t, inner, cfg).(*store)
	s.inMemory = 1000
	b := make([]byte, 3<<20)
	put(t, s, id, b)
	if !bytes.Equal(get(t, s, id), b) {
		t.Error("other bytes come out")
	}
	wantEmpty(t, dir)

	s.inner = &refusing{inner}
	if err := s.Put(t.Context(), newIdentity(), bytes.NewReader(b)); !errors.Is(err, errRefused) {
		t.Errorf("error %v", err)
	}
	wantEmpty(t, dir)

	cfg.TempDir = filepath.Join(dir, "none")
	s = newStore(t, inner, cfg).(*store)
	s.inMemory = 1000
	err := s.Put(t.Context(), newIdentity(), bytes.NewReader(b))
	if !errors.Is(err, os.ErrNotExist) || sink.IsPermanent(err) || !strings.Contains(err.Error(), cfg.TempDir) {
		t.Errorf("no folder for it: error %v", err)
	}
}

// A full disk is an error that may pass.
func TestTemporaryFileFails(t *testing.T) {
	s := newStore(t, memory.New("x"), Config{Recipients: []string{newKey(t).pub}, TempDir: t.TempDir()}).(*store)
	s.inMemory = 0
	buf, err := s.newBuffer(100)
	if err != nil {
		t.Fatal(err)
	}
	buf.Close()
	err = s.encrypt(t.Context(), buf, bytes.NewReader(make([]byte, 100)))
	if !errors.Is(err, os.ErrClosed) || sink.IsPermanent(err) || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("error %v", err)
	}
}

type refusing struct{ sink.Sink }

var errRefused = errors.New("refused")

func (refusing) Put(context.Context, dump.Identity, sink.Source) error { return errRefused }
