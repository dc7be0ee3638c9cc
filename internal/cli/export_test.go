package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// writeGraph makes a dump of n objects, a chain of orders, and returns its path.
func writeGraph(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "graph.cdmp")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fx := panicFixture()
	w := dump.NewWriter(f)
	for i := range fx.types {
		if err := w.Type(&fx.types[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range fx.goroutines {
		if err := w.Goroutine(&fx.goroutines[i]); err != nil {
			t.Fatal(err)
		}
	}
	name := strings.Repeat("order ", 16)
	for i := range n {
		next := dump.Value{Type: tOrderPtr, Ptr: 0xc000000000 + uint64(i+1)*64, Obj: dump.ObjectID(i%n + 1)}
		o := dump.Object{ID: dump.ObjectID(i + 1), Addr: 0xc000000000 + uint64(i)*64, Value: dump.Value{Type: tOrder, Elems: []dump.Value{
			text(name), {Type: tLines}, next,
		}}}
		if err := w.Object(&o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(&fx.header); err != nil {
		t.Fatal(err)
	}
	return path
}

// heapWatch is an output that looks at the heap now and then.
type heapWatch struct {
	base    uint64 // what was there before
	next    int64
	written int64
	peak    uint64 // what is alive beyond that, at most
}

func (h *heapWatch) Write(p []byte) (int, error) {
	h.written += int64(len(p))
	if h.written >= h.next {
		h.next = h.written + 4<<20
		if alive := liveHeap(); alive > h.base {
			h.peak = max(h.peak, alive-h.base)
		}
	}
	return len(p), nil
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestExportMemory exports a dump of 300,000 objects, and checks that what is
// alive meanwhile does not grow with the dump.
func TestExportMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	objects := 300_000
	if raceEnabled {
		objects = 60_000 // it would take minutes
	}
	peaks := make(map[int]uint64)
	for _, n := range []int{objects / 10, objects} {
		path := writeGraph(t, n)
		for _, format := range []outputFormat{formatJSONL, formatJSON} {
			out := &heapWatch{base: liveHeap()}
			std := &stdio{out: out, err: io.Discard}
			f := &exportFlags{format: format}
			if err := export(t.Context(), std, f, &target{name: path, path: path}); err != nil {
				t.Fatal(err)
			}
			if out.written < int64(n)*200 {
				t.Errorf("%d objects, %s: only %d bytes were written", n, format, out.written)
			}
			t.Logf("%d objects, %s: %d MiB of JSON with %d KiB alive", n, format, out.written>>20, out.peak>>10)
			peaks[n] = max(peaks[n], out.peak)
		}
	}
	// The reader keeps some megabytes of what it has decompressed.
	const bound = 48 << 20
	if peaks[objects] > bound {
		t.Errorf("%d MiB were alive, want at most %d", peaks[objects]>>20, bound>>20)
	}
	if small := max(peaks[objects/10], 4<<20); peaks[objects] > 3*small {
		t.Errorf("ten times as many objects took %d KiB instead of %d", peaks[objects]>>10, peaks[objects/10]>>10)
	}
}

// TestExportForms checks that both forms say the same, and that every line of the
// one and the whole of the other is JSON.
func TestExportForms(t *testing.T) {
	for name := range fixtures {
		if raceEnabled && (name == "large" || name == "heavy") {
			continue // these have nothing else but more of it
		}
		path := filepath.Join(t.TempDir(), name+".cdmp")
		if err := writeFixture(path, name); err != nil {
			t.Fatal(err)
		}
		lines := make(map[string][]json.RawMessage)
		code, out, errs := session(t, 0, "export", path)
		if code != exitOK || errs != "" {
			t.Fatalf("%s: code %d, %q", name, code, errs)
		}
		for line := range strings.Lines(out) {
			var record map[string]json.RawMessage
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%s: %v in %q", name, err, line)
			}
			var kind string
			if err := json.Unmarshal(record["record"], &kind); err != nil || record[kind] == nil || len(record) != 2 {
				t.Fatalf("%s: %q is no record", name, line)
			}
			lines[kind] = append(lines[kind], record[kind])
		}
		code, out, errs = session(t, 0, "export", "--format", "json", path)
		if code != exitOK || errs != "" {
			t.Fatalf("%s: code %d, %q", name, code, errs)
		}
		var doc struct {
			Header     json.RawMessage
			Extra      json.RawMessage
			Types      []json.RawMessage
			Goroutines []json.RawMessage
			Variables  []json.RawMessage `json:"package_vars"`
			Objects    []json.RawMessage
			Sources    []json.RawMessage
			Damage     *string
		}
		d := json.NewDecoder(strings.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		if doc.Damage == nil || *doc.Damage != "" {
			t.Errorf("%s: damage %v", name, doc.Damage)
		}
		for kind, list := range map[string][]json.RawMessage{
			"header": {doc.Header}, "type": doc.Types, "goroutine": doc.Goroutines, "package_var": doc.Variables, "object": doc.Objects, "source": doc.Sources,
		} {
			if len(list) != len(lines[kind]) {
				t.Errorf("%s: %d of %q in the document, %d in lines", name, len(list), kind, len(lines[kind]))
				continue
			}
			for i := range list {
				if !bytes.Equal(list[i], lines[kind][i]) {
					t.Errorf("%s: %s %d differs:\n%s\n%s", name, kind, i, list[i], lines[kind][i])
				}
			}
		}
	}
}

// fullDisk is an output that takes no more than a little.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		return d.left, errors.New("no space left on device")
	}
	d.left -= len(p)
	return len(p), nil
}

// TestExportFails checks that an export whose output cannot be written ends, and
// that a file that would not be whole is not there.
func TestExportFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cdmp")
	if err := writeFixture(path, "large"); err != nil {
		t.Fatal(err)
	}
	f := &exportFlags{format: formatJSONL}
	in := &target{name: path, path: path}
	err := export(t.Context(), &stdio{out: &fullDisk{1 << 20}, err: io.Discard}, f, in)
	if err == nil || !strings.Contains(err.Error(), "no space left") || codeOf(err) != exitFailed {
		t.Errorf("error %v", err)
	}
	out := filepath.Join(dir, "out.json")
	err = writeFile(out, func(w io.Writer) error {
		buf := bufio.NewWriter(w)
		_, err := buf.WriteString("half")
		return errors.Join(err, buf.Flush(), errors.New("interrupted"))
	})
	if err == nil {
		t.Error("no error")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := writeFile(dir, func(io.Writer) error { return nil }); err == nil {
		t.Error("no error for a folder")
	}
}

// TestExportIsDocumented checks that docs/export.md names every member.
func TestExportIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "export.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[reflect.Type]bool)
	var check func(rt reflect.Type)
	check = func(rt reflect.Type) {
		switch rt.Kind() {
		case reflect.Pointer, reflect.Slice:
			check(rt.Elem())
		case reflect.Struct:
			if seen[rt] {
				return
			}
			seen[rt] = true
			for i := range rt.NumField() {
				f := rt.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if !bytes.Contains(text, []byte("`"+name+"`")) {
					t.Errorf("docs/export.md does not say what %q of %s is", name, rt.Name())
				}
				check(f.Type)
			}
		}
	}
	for _, v := range []any{headerJSON{}, extraJSON{}, typeJSON{}, goroutineJSON{}, objectJSON{}, sourceJSON{}} {
		check(reflect.TypeOf(v))
	}
}
