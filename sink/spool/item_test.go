package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// itemOf returns the file of a dump.
func itemOf(t testing.TB, id dump.Identity, content []byte, trigger dump.Trigger, at time.Time) []byte {
	t.Helper()
	var buf bytes.Buffer
	tr := newTrailer(id, int64(len(content)), at, trigger)
	if err := copyItem(t.Context(), &buf, &tr, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestTrailer(t *testing.T) {
	at := time.Unix(1_700_000_000, 123456789)
	for _, tc := range []struct {
		service string
		trigger dump.Trigger
		want    string // trigger
	}{
		{"shop", dump.TriggerPanic, "panic"},
		{"", "", ""},
		{strings.Repeat("x", serviceLen), "", ""},
		{strings.Repeat("ü", 5000), dump.TriggerErrorSpan, "error_span"},
		{"shop/v2 ü\x00", dump.TriggerManual, "manual"},
		{"a", dump.Trigger(strings.Repeat("t", triggerLen)), strings.Repeat("t", triggerLen)},
		{"a", dump.Trigger(strings.Repeat("t", triggerLen+1)), ""},
		{"a", "two words", ""},
	} {
		for _, size := range []int{0, 1, copySize - 1, copySize, copySize + 1, 3*copySize + 7} {
			id := newIdentity()
			id.Service = tc.service
			content := contentOf(id.ID, size)
			file := itemOf(t, id, content, tc.trigger, at)
			if len(file) != size+trailerLen || !bytes.Equal(file[:size], content) {
				t.Fatalf("the file does not begin with the dump")
			}
			r := bytes.NewReader(file)
			tr, err := readTrailer(r, itemName(id), int64(len(file)))
			if err == nil {
				err = tr.checkContent(t.Context(), r)
			}
			if err != nil {
				t.Fatal(err)
			}
			want := id
			if want.Service != "" {
				want.Service = sink.Service(want.Service)
			}
			if tr.id != want || tr.size != int64(size) || !tr.put.Equal(at) || string(tr.trigger) != tc.want {
				t.Errorf("%+v, want %+v, %d, %v, %q", tr, want, size, at, tc.want)
			}
			if sink.DayKey(tr.id) != sink.DayKey(id) {
				t.Errorf("the key has become %q, want %q", sink.DayKey(tr.id), sink.DayKey(id))
			}
		}
	}
}

// reseal makes the checksum of a trailer right again.
func reseal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[len(b)-trailerLen:len(b)-4], castagnoli))
	return b
}

// TestDamagedItems changes every byte of an item, cuts it anywhere, and writes
// nonsense into its trailer with a right checksum.
func TestDamagedItems(t *testing.T) {
	id := newIdentity()
	good := itemOf(t, id, contentOf(id.ID, 100), dump.TriggerPanic, time.Now())
	check := func(file []byte) error {
		r := bytes.NewReader(file)
		tr, err := readTrailer(r, itemName(id), int64(len(file)))
		if err == nil {
			err = tr.checkContent(t.Context(), r)
		}
		return err
	}
	if err := check(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if err := check(bad); !errors.Is(err, errDamaged) {
			t.Errorf("with another byte %d: %v", i, err)
		}
		if err := check(good[:i]); !errors.Is(err, errDamaged) {
			t.Errorf("cut after byte %d: %v", i, err)
		}
	}
	if err := check(append(bytes.Clone(good), 0)); !errors.Is(err, errDamaged) {
		t.Errorf("with a byte more: %v", err)
	}
	if err := check(make([]byte, len(good))); !errors.Is(err, errDamaged) {
		t.Errorf("all zero: %v", err)
	}

	end := len(good) - trailerLen
	for name, change := range map[string]func(b []byte){
		"version 0":              func(b []byte) { b[8] = 0 },
		"service too long":       func(b []byte) { b[10] = serviceLen + 1 },
		"service shorter":        func(b []byte) { b[10]-- },
		"dump longer":            func(b []byte) { b[16]++ },
		"dump negative":          func(b []byte) { b[23] = 0xff },
		"not a version 7 ID":     func(b []byte) { b[32+6] = 0x40 },
		"another ID":             func(b []byte) { b[32+15]++ },
		"another trace":          func(b []byte) { b[48]++ },
		"trigger with a space":   func(b []byte) { b[triggerAt] = ' ' },
		"trigger behind a zero":  func(b []byte) { b[triggerAt+10] = 'x' },
		"something in the zeros": func(b []byte) { b[zerosAt] = 1 },
		"another checksum":       func(b []byte) { b[12]++ },
	} {
		bad := bytes.Clone(good)
		change(bad[end:])
		if err := check(reseal(bad)); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}

	newer := bytes.Clone(good)
	newer[end+8] = trailerVersion + 1
	if err := check(reseal(newer)); !errors.Is(err, errNewer) || errors.Is(err, errDamaged) {
		t.Errorf("a newer version: %v", err)
	}
	far := itemOf(t, id, nil, "", time.Unix(0, math.MaxInt64))
	if err := check(far); err != nil {
		t.Errorf("put in the year 2262: %v", err)
	}
}

func TestItemName(t *testing.T) {
	id := newIdentity()
	name := itemName(id)
	if got, ok := parseItemName(name); !ok || got.ID != id.ID || got.TraceID != id.TraceID {
		t.Errorf("parseItemName(%q) = %+v, %t", name, got, ok)
	}
	if len(name) > 143 {
		t.Errorf("%q does not fit encrypting file systems", name)
	}
	v4 := id
	v4.ID[6] = 0x40
	for _, bad := range []string{
		itemName(v4), "", ".cdmp", name + ".tmp", name[1:], strings.ToUpper(name), strings.TrimSuffix(name, ".cdmp"),
		"../" + name, name + "/..", strings.Replace(name, "0", "O", 1),
	} {
		if got, ok := parseItemName(bad); ok {
			t.Errorf("parseItemName(%q) = %+v", bad, got)
		}
	}
}

func FuzzTrailer(f *testing.F) {
	id := newIdentity()
	f.Add(itemOf(f, id, []byte("dump"), dump.TriggerPanic, time.Now()), false)
	f.Add(itemOf(f, id, nil, "", time.Unix(0, 0)), true)
	f.Add([]byte(trailerMagic), true)
	f.Fuzz(func(t *testing.T, file []byte, seal bool) {
		if seal && len(file) >= trailerLen {
			file = reseal(bytes.Clone(file))
		}
		r := bytes.NewReader(file)
		for _, name := range []string{itemName(id), "x"} {
			tr, err := readTrailer(r, name, int64(len(file)))
			if err != nil {
				if !errors.Is(err, errDamaged) && !errors.Is(err, errNewer) {
					t.Fatalf("an error of reading without one: %v", err)
				}
				continue
			}
			if !bytes.Equal(tr.encode(), file[len(file)-trailerLen:]) {
				t.Fatalf("%+v is written in another way", tr)
			}
			if err := sink.CheckIdentity(tr.id); err != nil || itemName(tr.id) != name {
				t.Fatalf("%+v: %v, %s", tr, err, name)
			}
			err = tr.checkContent(t.Context(), r)
			sum := crc32.Checksum(file[:len(file)-trailerLen], castagnoli)
			if (err == nil) != (sum == tr.sum) || err != nil && !errors.Is(err, errDamaged) {
				t.Fatalf("checkContent: %v", err)
			}
		}
	})
}

func FuzzItemName(f *testing.F) {
	f.Add(itemName(newIdentity()))
	f.Add(itemName(dump.Identity{ID: dump.NewID()}))
	f.Add(".cdmp")
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := parseItemName(name); ok && itemName(id) != name {
			t.Fatalf("%q is read as %q", name, itemName(id))
		}
	})
}
