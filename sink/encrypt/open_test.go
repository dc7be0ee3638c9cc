package encrypt

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
)

func entry(id dump.Identity) sink.Entry { return sink.Entry{Identity: id} }

// sealFor returns the sealed form of b.
func sealFor(tb testing.TB, b []byte, recipients ...string) []byte {
	tb.Helper()
	inner, id := memory.New("x"), newIdentity()
	put(tb, newStore(tb, inner, Config{Recipients: recipients}), id, b)
	return inner.Content(id)
}

func readSealed(file []byte, ids ...age.Identity) ([]byte, error) {
	r, size, err := OpenSealed(bytes.NewReader(file), int64(len(file)), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, size))
}

func TestOpenSealed(t *testing.T) {
	a, b, c := newKey(t), newKey(t), newKey(t)
	content := newDump(t, newIdentity())
	file := sealFor(t, content, a.pub, b.pub, newSSH(t, "ed25519", "").pub)

	if got, err := readSealed(file, c.id, b.id); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	r, size, err := OpenSealed(bytes.NewReader(file), int64(len(file)), a.id)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dump.NewReader(r, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(); err != nil || d.Sealed() {
		t.Errorf("sealed %t, verify: %v", d.Sealed(), err)
	}

	for _, ids := range [][]age.Identity{nil, {c.id}, {c.id, newKey(t).id}} {
		_, err := readSealed(file, ids...)
		var none *NoIdentityError
		if !errors.As(err, &none) || none.Tried != len(ids) || strings.Join(none.Recipients, " ") != "X25519 X25519 ssh-ed25519" {
			t.Errorf("%d identities: error %#v", len(ids), err)
		}
		if errors.Is(err, dump.ErrDamaged) || errors.Is(err, dump.ErrNotSealed) {
			t.Errorf("%d identities: error %v says that the dump is bad", len(ids), err)
		}
	}
	if _, err := readSealed(content, a.id); !errors.Is(err, dump.ErrNotSealed) {
		t.Errorf("plain dump: error %v", err)
	}
}

// The order in which the caller has the identities is the caller's.
func TestIdentitiesAreNotChanged(t *testing.T) {
	a, ssh := newKey(t), newSSH(t, "ed25519", "")
	list, err := ReadIdentities(nil, ssh.file, a.file)
	if err != nil {
		t.Fatal(err)
	}
	before := append([]age.Identity(nil), list...)
	if _, err := readSealed(sealFor(t, []byte("x"), a.pub), list...); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i] != before[i] {
			t.Errorf("identity %d is another one now", i)
		}
	}
}

// Grease is what some implementations of age put among the recipients.
func TestGreaseIsNoRecipient(t *testing.T) {
	key := newKey(t)
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, key.id.Recipient(), grease{})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := dump.WriteSealed(&file, &dump.Header{}, bytes.NewReader(buf.Bytes()), int64(buf.Len())); err != nil {
		t.Fatal(err)
	}
	var none *NoIdentityError
	if _, err := readSealed(file.Bytes(), newKey(t).id); !errors.As(err, &none) || len(none.Recipients) != 1 {
		t.Errorf("error %v", err)
	}
	if _, err := readSealed(file.Bytes(), key.id); err != nil {
		t.Error(err)
	}
}

type grease struct{}

func (grease) Wrap([]byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "abc-grease", Args: []string{"x"}, Body: []byte("y")}}, nil
}

// content of several chunks of age, so that damage leaves some of them whole.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// Whatever bit of the encrypted part is another one, no wrong byte comes out, and
// the error says that it is damage.
func TestEveryByteDamaged(t *testing.T) {
	key := newKey(t)
	content := noise(3*ageChunk + 100)
	file := sealFor(t, content, key.pub)
	p, err := dump.SealedPayload(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(file)
	// Every byte of the age header and of the beginning, some of the rest.
	for off := int64(0); off < p.Size(); off++ {
		if off > 400 && off%4999 != 0 && off < p.Size()-200 {
			continue
		}
		at := p.FileOffset(off)
		bad[at] ^= 1 << (off % 8)
		got, err := readSealed(bad, key.id)
		var none *NoIdentityError
		switch {
		case errors.As(err, &none) && off < 200:
			// In the stanza, or its line: then it is for nobody that we know.
		case err == nil && off >= p.Size()-116 && bytes.Equal(got, content[:3*ageChunk]):
			// The last chunk is gone, as if it had been cut off.
		case !errors.Is(err, dump.ErrDamaged):
			t.Errorf("byte %d of the age file: %d bytes, error %v", off, len(got), err)
		case !bytes.HasPrefix(content, got):
			t.Errorf("byte %d of the age file: wrong bytes came out", off)
		}
		var de *dump.DamageError
		if errors.As(err, &de) && (de.Offset > at || de.Offset < at-ageChunk-400) {
			t.Errorf("byte %d of the file is damaged, and the error says %d", at, de.Offset)
		}
		bad[at] = file[at]
	}

	// The chunks around the damaged one can still be read.
	at := p.FileOffset(p.Size() - 100 - 16 - ageChunk) // in the third
	bad[at] ^= 1
	r, size, err := OpenSealed(bytes.NewReader(bad), int64(len(bad)), key.id)
	if err != nil || size != int64(len(content)) {
		t.Fatalf("size %d, error %v", size, err)
	}
	for _, off := range []int64{0, ageChunk + 5, 3 * ageChunk} {
		b := make([]byte, 90)
		if _, err := r.ReadAt(b, off); err != nil || !bytes.Equal(b, content[off:off+90]) {
			t.Errorf("at %d: error %v", off, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 100), 2*ageChunk-50); n != 50 || !errors.Is(err, dump.ErrDamaged) {
		t.Errorf("across the border: %d bytes, error %v", n, err)
	}
}

// A torn file gives the part of the plain dump that is there, and a Reader sees
// that it is torn.
func TestTruncated(t *testing.T) {
	key := newKey(t)
	var content []byte
	{
		var buf bytes.Buffer
		w := dump.NewWriter(&buf, dump.WithLevel(1), dump.WithChunkSize(4<<10))
		for i := range 400 {
			v := dump.Value{Type: 1, Bytes: randomish(i), Len: 1000}
			if err := w.Object(&dump.Object{ID: dump.ObjectID(i + 1), Value: v}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(&dump.Header{Identity: newIdentity()}); err != nil {
			t.Fatal(err)
		}
		content = buf.Bytes()
	}
	file := sealFor(t, content, key.pub)
	p, err := dump.SealedPayload(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	begin := int(p.FileOffset(0))
	end := int(p.FileOffset(p.Size()-1)) + 1
	partial := 0
	for n := 1; n < len(file); n += 1501 {
		got, err := readSealed(file[:n], key.id)
		switch {
		case n >= end: // only the end of the outer file is missing
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("cut at %d: error %v", n, err)
			}
		case n < begin:
			if !errors.Is(err, dump.ErrNotSealed) && !errors.Is(err, dump.ErrDamaged) {
				t.Errorf("cut at %d: error %v", n, err)
			}
		case err != nil:
			if !errors.Is(err, dump.ErrDamaged) || n > begin+ageChunk+1000 {
				t.Errorf("cut at %d: error %v", n, err)
			}
		default:
			if !bytes.HasPrefix(content, got) || len(got) >= len(content) {
				t.Fatalf("cut at %d: %d other bytes", n, len(got))
			}
			r, err := dump.NewReader(bytes.NewReader(got), int64(len(got)))
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if !errors.Is(r.Damage(), dump.ErrTruncated) {
				t.Errorf("cut at %d: damage %v", n, r.Damage())
			}
			if o, err := r.Object(1); err != nil || !bytes.Equal(o.Value.Bytes, randomish(0)) {
				t.Errorf("cut at %d: the first object: %v", n, err)
			}
			partial++
		}
	}
	if partial < 3 {
		t.Errorf("only %d files gave a part", partial)
	}
}

func randomish(i int) []byte {
	b := make([]byte, 1000)
	x := uint32(i*2654435761 + 1)
	for k := range b {
		x = x*1664525 + 1013904223
		b[k] = byte(x >> 24)
	}
	return b
}

// unsteady fails after some reads.
type unsteady struct {
	*bytes.Reader
	left int
}

var errNet = errors.New("connection reset")

func (u *unsteady) ReadAt(b []byte, off int64) (int, error) {
	if u.left--; u.left < 0 {
		return 0, errNet
	}
	return u.Reader.ReadAt(b, off)
}

// An error of the storage is told as such, whenever it comes, and is not taken for
// damage.
func TestReadErrors(t *testing.T) {
	key := newKey(t)
	content := noise(3 * ageChunk)
	file := sealFor(t, content, key.pub)
	for left := 0; ; left++ {
		u := &unsteady{bytes.NewReader(file), left}
		r, size, err := OpenSealed(u, int64(len(file)), key.id)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(io.NewSectionReader(r, 0, size))
		}
		if err == nil {
			if !bytes.Equal(got, content) || left < 5 {
				t.Errorf("after %d reads all is read, %d bytes", left, len(got))
			}
			break
		}
		if !errors.Is(err, errNet) || errors.Is(err, dump.ErrDamaged) || errors.Is(err, dump.ErrNotSealed) {
			t.Errorf("after %d reads: error %v", left, err)
		}
		if r == nil {
			continue
		}
		// And it can be read later.
		u.left = 1000
		b := make([]byte, size)
		if n, err := r.ReadAt(b, 0); n != len(b) || err != nil && err != io.EOF || !bytes.Equal(b, content) {
			t.Errorf("after %d reads, and then all: %d bytes, error %v", left, n, err)
		}
	}
}

// patchy fails where it is told to.
type patchy struct {
	*bytes.Reader
	from, to int64
}

func (p *patchy) ReadAt(b []byte, off int64) (int, error) {
	if off < p.to && off+int64(len(b)) > p.from {
		return 0, errNet
	}
	return p.Reader.ReadAt(b, off)
}

// Of several that read at once each gets the error of its own place.
func TestErrorsOfConcurrentReads(t *testing.T) {
	key := newKey(t)
	content := noise(8 * ageChunk)
	file := sealFor(t, content, key.pub)
	p, err := dump.SealedPayload(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(i int64) int64 { return p.FileOffset(p.Size() - (8-i)*(ageChunk+ageTag)) }
	file[chunk(3)+77] ^= 1
	r, _, err := OpenSealed(&patchy{bytes.NewReader(file), chunk(5), chunk(6)}, int64(len(file)), key.id)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range int64(8) {
		for range 2 {
			wg.Go(func() {
				b := make([]byte, ageChunk)
				for range 20 {
					n, err := r.ReadAt(b, i*ageChunk)
					switch {
					case i == 3 && (!errors.Is(err, dump.ErrDamaged) || errors.Is(err, errNet)),
						i == 5 && (!errors.Is(err, errNet) || errors.Is(err, dump.ErrDamaged)):
						t.Errorf("chunk %d: error %v", i, err)
					case i == 3 || i == 5:
					case n != len(b) || err != nil && err != io.EOF || !bytes.Equal(b, content[i*ageChunk:][:ageChunk]):
						t.Errorf("chunk %d: %d bytes, error %v", i, n, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// An age header of any length is not read into memory.
func TestHugeAgeHeader(t *testing.T) {
	key := newKey(t)
	huge := append([]byte("age-encryption.org/v1\n-> X25519 "), bytes.Repeat([]byte("A"), 8<<20)...)
	var file bytes.Buffer
	if _, err := dump.WriteSealed(&file, &dump.Header{}, bytes.NewReader(huge), int64(len(huge))); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readSealed(file.Bytes(), key.id)
	runtime.ReadMemStats(&after)
	n := after.TotalAlloc - before.TotalAlloc
	if !errors.Is(err, dump.ErrDamaged) {
		t.Errorf("error %v", err)
	}
	if n > 16<<20 {
		t.Errorf("%d MiB were allocated", n>>20)
	}
}

// An identity that fails for a reason of its own is not taken for damage.
type brokenIdentity struct{}

var errToken = errors.New("the token is not plugged in")

func (brokenIdentity) Unwrap([]*age.Stanza) ([]byte, error) { return nil, errToken }

func TestIdentityFails(t *testing.T) {
	key := newKey(t)
	file := sealFor(t, []byte("x"), key.pub)
	if _, err := readSealed(file, brokenIdentity{}); !errors.Is(err, errToken) || errors.Is(err, dump.ErrDamaged) {
		t.Errorf("error %v", err)
	}
	if _, err := readSealed(file, brokenIdentity{}, key.id); err != nil {
		t.Errorf("with a key that fits: error %v", err)
	}
}

func FuzzOpenSealed(f *testing.F) {
	ids, err := ReadIdentities(nil, filepath.Join(fixtures, "sealed-v1.key"))
	if err != nil {
		f.Fatal(err)
	}
	id := ids[0].(*age.X25519Identity)
	for _, n := range []int{0, 100, ageChunk, ageChunk + 1} {
		file := sealFor(f, noise(n), id.Recipient().String())
		p, err := dump.SealedPayload(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			f.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-n/2])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var file bytes.Buffer
		if _, err := dump.WriteSealed(&file, &dump.Header{}, bytes.NewReader(payload), int64(len(payload))); err != nil {
			return // not an age file even at first sight
		}
		got, err := readSealed(file.Bytes(), id)
		var none *NoIdentityError
		if err != nil && !errors.Is(err, dump.ErrDamaged) && !errors.As(err, &none) {
			t.Fatalf("error %v", err)
		}
		// age is the judge of what is in it.
		want, werr := age.Decrypt(bytes.NewReader(payload), id)
		if err != nil {
			return
		}
		if werr != nil {
			t.Fatalf("we open what age does not: %v", werr)
		}
		all, werr := io.ReadAll(want)
		if !bytes.Equal(got, all) {
			t.Fatalf("%d bytes, age reads %d (%v)", len(got), len(all), werr)
		}
	})
}
