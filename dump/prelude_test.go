package dump

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// hugeHeader has far more of everything than fits.
func hugeHeader(n int) Header {
	h := Header{
		Identity: Identity{ID: ID{1}, TraceID: TraceID{2}, SpanID: SpanID{3}, Service: "checkout"},
		Trigger:  TriggerPanic, Name: strings.Repeat("n", n), Description: strings.Repeat("žluťoučký ", n),
		SpanName: strings.Repeat("s", n), Host: "web-3", Failing: Location{Func: strings.Repeat("f", n), Line: 42},
	}
	for i := range n {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("ž", n/4))
		h.Reason = append(h.Reason, ErrorInfo{Type: "*errors.errorString", Message: text, Parent: i - 1})
		h.Resource = append(h.Resource, KeyValue{text, text})
		h.Budgets = append(h.Budgets, Budget{Name: text, Unit: text})
		h.Redactions = append(h.Redactions, RuleCount{Rule: text, Count: 1})
		h.Missing = append(h.Missing, Missing{text, text, text})
	}
	return h
}

// Whatever the header holds, it and the directory end within 64 KiB.
func TestHeaderFits(t *testing.T) {
	for n := 1; n < 1200; n = n*3/2 + 1 {
		c := &content{header: hugeHeader(n), objects: []*Object{{ID: 1, Value: Value{Num: 9}}}}
		want := c.header
		m := &meter{Reader: bytes.NewReader(c.file(t))}
		h, err := ReadHeader(m, m.Size())
		if err != nil {
			t.Fatalf("n = %d: %v", n, err)
		}
		if m.calls != 1 || m.bytes > 64<<10 {
			t.Fatalf("n = %d: %d reads of %d bytes", n, m.calls, m.bytes)
		}
		want.FormatVersion, want.Counts = h.FormatVersion, h.Counts
		if len(h.Missing) == len(want.Missing) {
			same(t, "header", h, &want) // nothing had to be cut
			continue
		}
		last := h.Missing[len(h.Missing)-1]
		if last.What != "parts of the header" || !strings.Contains(last.Why, "64 KiB") {
			t.Fatalf("n = %d: the header does not say that it is cut, but %+v", n, last)
		}
		same(t, "identity", h.Identity, want.Identity)
		if !strings.HasPrefix(want.Description, strings.TrimSuffix(h.Description, "…")) || !utf8.ValidString(h.Description) {
			t.Fatalf("n = %d: description is %q", n, h.Description)
		}
		same(t, "first reason's type", h.Reason[0].Type, want.Reason[0].Type)
		for i, r := range h.Reason {
			same(t, "parent", r.Parent, i-1)
		}
		if m.bytes < 30<<10 {
			t.Fatalf("n = %d: cut down to %d bytes, more than it needs", n, m.bytes)
		}
		c.header.Counts, c.header.FormatVersion = want.Counts, want.FormatVersion
		if !reflect.DeepEqual(c.header, want) {
			t.Fatalf("n = %d: the caller's header was changed", n)
		}
	}
}

// Bytes that are not UTF-8 grow when they are replaced; the header fits even so.
func TestHeaderOfGarbageFits(t *testing.T) {
	h := hugeHeader(60)
	garbage := strings.Repeat("\xffa", 2000)
	for i := range h.Missing {
		h.Missing[i] = Missing{garbage, garbage, garbage}
		h.Reason[i] = ErrorInfo{Type: garbage, Message: garbage}
		h.Resource[i] = KeyValue{garbage, garbage}
		h.Budgets[i] = Budget{garbage, garbage, -1, -1, -1}
		h.Redactions[i] = RuleCount{garbage, -1}
	}
	h.Service, h.Trigger, h.Name, h.Description, h.SpanName, h.Host = garbage, Trigger(garbage), garbage, garbage, garbage, garbage
	h.Failing = Location{garbage, garbage, -1, -1, -1}
	h.Module, h.VCS = Module{garbage, garbage}, VCS{garbage, garbage, true}
	if n := len(fitHeader(&h, headerRoom)); n > headerRoom {
		t.Errorf("the header takes %d bytes, there is room for %d", n, headerRoom)
	}
}

// The chunks of a large dump grow, so that the directory fits.
func TestDirectoryFits(t *testing.T) {
	noise := newGenerator(1)
	text := make([]byte, 700)
	for i := range text {
		text[i] = byte(noise.Uint32())
	}
	c := &content{header: hugeHeader(500)}
	var buf bytes.Buffer
	w := NewWriter(&buf, WithChunkSize(minChunk), WithLevel(1))
	const n = 100_000
	for i := range n {
		if err := w.Object(&Object{ID: ObjectID(i + 1), Value: Value{Num: uint64(i), Bytes: text[i%600:]}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(&c.header); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.Bytes())
	if r.sections[0].offset > 64<<10 {
		t.Errorf("the prelude ends at byte %d", r.sections[0].offset)
	}
	same(t, "objects", r.NumObjects(), n)
	for i := range n {
		if i%997 != 0 {
			continue
		}
		o, err := r.Object(ObjectID(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "number", o.Value.Num, uint64(i))
	}
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB in %d sections", rawLen(r)>>20, len(r.sections))
}

// A directory that is as long as can be leaves the header its room.
func TestLongestDirectory(t *testing.T) {
	list := make([]section, maxSections)
	first := uint64(1)
	for i := range list {
		list[i] = section{kind: secObjects, stored: maxSection, raw: maxSection, firstID: first, count: maxRecords}
		first += maxRecords
	}
	list[len(list)-1] = section{kind: secEnd, stored: 20, raw: 20, firstID: 1, count: 1}
	b := buildPrelude(make([]byte, headerRoom-4), list)
	if len(b) > preludeMax {
		t.Errorf("the prelude takes %d bytes", len(b))
	}
	p, err := readPrelude(bytes.NewReader(b), int64(len(b)))
	if err == nil {
		_, err = checkDirectory(p.sections, p.end)
	}
	// A header of zeros is no message, but it must not come to more than that.
	if err == nil || !strings.Contains(err.Error(), errWire.Error()) {
		t.Errorf("error %v", err)
	}
}

func TestTooManySections(t *testing.T) {
	w := NewWriter(new(bytes.Buffer))
	w.sections = maxSections - 2
	if err := w.Goroutine(&Goroutine{Failing: true}); err != nil {
		t.Fatal(err)
	}
	w.flush(&w.failing)
	if w.err != nil {
		t.Fatal(w.err)
	}
	if err := w.Source(&Source{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(&Header{}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
}

// The fixed parts, byte by byte as docs/format.md has them.
func TestFixedParts(t *testing.T) {
	s := start{major: 1, minor: 2, prelude: 3}
	same(t, "start", hex.EncodeToString(appendStart(nil, s, []byte("abc"))),
		"8943444d500d0a1a"+"0100"+"0200"+"03000000"+fmt.Sprintf("%x", le32(checksum([]byte("\x89CDMP\r\n\x1a\x01\x00\x02\x00\x03\x00\x00\x00abc")))))
	f := frame{kind: secObjects, flags: flagZstd, firstID: 5, count: 6, raw: 7, stored: 8, crc: 9}
	b := make([]byte, frameLen)
	f.put(b)
	want := "91abd3c5" + "0300" + "0100" + "0500000000000000" + "06000000" + "07000000" + "08000000" + "09000000"
	same(t, "frame", hex.EncodeToString(b[:32]), want)
	same(t, "frame checksum", b[32:], le32(checksum(b[:32])))
	if got, ok := parseFrame(b); !ok || got != f {
		t.Errorf("frame reads back as %+v, %v", got, ok)
	}
	// The check value of CRC-32C in every catalogue of checksums.
	same(t, "crc32c", checksum([]byte("123456789")), uint32(0xe3069283))
}

func le32(u uint32) []byte { return []byte{byte(u), byte(u >> 8), byte(u >> 16), byte(u >> 24)} }
