package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// session runs a command line on streams that are no terminal, or one of the
// given width.
func session(t *testing.T, width int, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	std := &stdio{
		in: strings.NewReader(""), out: &o, err: &e, outWidth: width, errWidth: width,
		outStyle: style{width > 0}, errStyle: style{width > 0},
		now: func() time.Time { return testNow }, local: time.UTC,
	}
	code = run(context.Background(), std, args)
	return code, o.String(), e.String()
}

// TestTerminal checks colour and widths, which no script can see.
func TestTerminal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cdmp")
	if err := writeFixture(path, "panic"); err != nil {
		t.Fatal(err)
	}
	code, out, _ := session(t, 100, "peek", path)
	if code != exitOK || !strings.Contains(out, "\x1b[31m\x1b[1mpanic:") {
		t.Errorf("peek on a terminal: code %d, no colour in %q", code, out)
	}
	const reset = "\x1b[0m"
	if n := strings.Count(out, "\x1b["); n != 2*strings.Count(out, reset) {
		t.Errorf("peek: %d sequences, of which %d end a colour", n, strings.Count(out, reset))
	}
	code, out, _ = session(t, 150, "ls", "--dir", dir)
	if code != exitOK {
		t.Errorf("ls: code %d", code)
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(uncoloured(line)) - 1; n > 170 {
			t.Errorf("ls: line of %d columns: %q", n, line)
		}
	}
	code, _, errs := session(t, 80, "peek", filepath.Join(dir, "none"))
	if code != exitFailed || !strings.HasPrefix(errs, "coredumpy: \x1b[31merror:\x1b[0m ") {
		t.Errorf("error on a terminal: code %d, %q", code, errs)
	}
}

func uncoloured(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		s = s[:i] + s[i+strings.IndexByte(s[i:], 'm')+1:]
	}
}

// TestHostileTerminal checks that text from a dump brings no escape sequence to
// a terminal beside our own colours.
func TestHostileTerminal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "h.cdmp")
	if err := writeFixture(path, "hostile"); err != nil {
		t.Fatal(err)
	}
	evilFile := filepath.Join(dir, "e\x1b]0;x\x07.cdmp")
	if err := os.WriteFile(evilFile, []byte("not a dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"peek", "-v", path}, {"ls", "--dir", dir}, {"peek", evilFile}, {"peek", "--format", "json", path}, {"export", path}} {
		_, out, errs := session(t, 120, args...)
		for _, r := range uncoloured(out + errs) {
			if r != '\n' && !printable(r) {
				t.Errorf("%v: printed %U in\n%q", args, r, out+errs)
				break
			}
		}
	}
}

// countingObject counts what is read of a dump.
type countingObject struct {
	*bytes.Reader
	bytes atomic.Int64
}

func (c *countingObject) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.bytes.Add(int64(n))
	return n, err
}

func (*countingObject) Close() error { return nil }

// inMemory is a target that opens as o; remote says that it lies on a server.
func inMemory(o sink.Object, remote bool) *target {
	st := &opened{store: &slowStore{store: folder{"/store"}, open: func(context.Context, sink.Entry) (sink.Object, error) { return o, nil }}}
	if !remote {
		st.dir = "/store"
	}
	return &target{name: "x.cdmp", st: st}
}

// TestPeekReadsLittle checks that peek reads the header, the failing goroutine
// and the objects that it shows, not the whole file.
func TestPeekReadsLittle(t *testing.T) {
	data, _, err := fixtureBytes("large")
	if err != nil {
		t.Fatal(err)
	}
	if len(data) < 2<<20 {
		t.Fatalf("the dump has only %d bytes", len(data))
	}
	for _, format := range []outputFormat{formatText, formatJSON} {
		r := &countingObject{Reader: bytes.NewReader(data)}
		f := &peekFlags{format: format}
		p, err := peekTarget(t.Context(), inMemory(r, false), f)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if format == formatText {
			std := &stdio{out: &out, now: func() time.Time { return testNow }, local: time.UTC}
			if err := p.print(std, f); err != nil {
				t.Fatal(err)
			}
		} else if err := writeJSON(&out, p.json(f)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), `A-1001`) {
			t.Errorf("%s: does not show the order", format)
		}
		if n := r.bytes.Load(); n > int64(len(data))/4 {
			t.Errorf("%s: read %d of %d bytes", format, n, len(data))
		}
	}
}

// TestPeekJSONIsWhole checks the fields that scripts rely on, by name.
func TestPeekJSONIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.cdmp")
	if err := writeFixture(path, "panic"); err != nil {
		t.Fatal(err)
	}
	_, out, _ := session(t, 0, "peek", "--format", "json", path)
	var dumps []map[string]any
	if err := json.Unmarshal([]byte(out), &dumps); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"id", "format_version", "time", "trigger", "name", "description", "reason", "trace_id", "span_id", "span_name", "service",
		"resource", "host", "pid", "go_version", "module", "vcs", "goos", "goarch", "failing", "counts", "budgets", "redactions",
		"missing", "file", "size", "frames",
	} {
		if v, ok := dumps[0][key]; !ok || v == nil {
			t.Errorf("%s is missing", key)
		}
	}
	frames := dumps[0]["frames"].([]any)
	first := frames[0].(map[string]any)
	if first["func"] != "example.com/shop/store.(*Store).Price" {
		t.Errorf("the first frame is %v", first["func"])
	}
	for _, v := range first["vars"].([]any) {
		v := v.(map[string]any)
		for _, key := range []string{"name", "kind", "type", "value", "state"} {
			if _, ok := v[key].(string); !ok {
				t.Errorf("%v: %s is no text", v, key)
			}
		}
		if strings.ContainsAny(v["value"].(string), "\n\r") {
			t.Errorf("%v: the value has several lines", v)
		}
	}
}

func TestParseTrace(t *testing.T) {
	want := mustTrace(traceA)
	for _, good := range []string{
		traceA, strings.ToUpper(traceA), "  " + traceA + "\n", `"` + traceA + `"`, "trace_id=" + traceA,
		"00-" + traceA + "-00f067aa0ba902b7-01", "traceparent: 00-" + traceA + "-00f067aa0ba902b7-00",
		"http://127.0.0.1:16686/trace/" + traceA, "https://h/explore?left=%7B%22query%22:%22" + traceA + "%22%7D",
		"http://h/trace/" + traceA + "?again=" + traceA,
	} {
		if got, err := parseTrace(good); err != nil || got != want {
			t.Errorf("parseTrace(%q) = %s, %v", good, got, err)
		}
	}
	for _, bad := range []string{
		"", "xyz", traceA[1:], traceA + "0", strings.Repeat("0", 32), "00-" + traceA, traceA + traceB, "/" + traceA + "/" + traceB,
		traceA + " " + traceB, "http://h/" + traceA + "0",
	} {
		if got, err := parseTrace(bad); codeOf(err) != exitUsage {
			t.Errorf("parseTrace(%q) = %s, %v", bad, got, err)
		}
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("00-" + traceA + "-00f067aa0ba902b7-01")
	f.Add("http://h/" + traceA)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseTrace(s)
		switch {
		case err != nil && codeOf(err) != exitUsage:
			t.Errorf("%q: %v is no usage error", s, err)
		case err == nil && !strings.Contains(strings.ToLower(s), id.String()):
			t.Errorf("%q: %s does not stand there", s, id)
		}
	})
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for _, tt := range []struct {
		in   string
		want time.Time
	}{
		{"90m", testNow.Add(-90 * time.Minute)},
		{"2h30m", testNow.Add(-150 * time.Minute)},
		{"3d", testNow.Add(-72 * time.Hour)},
		{"1w2d3h", testNow.Add(-(9*24 + 3) * time.Hour)},
		{"2026-11-01", time.Date(2026, 11, 1, 0, 0, 0, 0, zone)},
		{"2026-11-01 10:30", time.Date(2026, 11, 1, 10, 30, 0, 0, zone)},
		{"2026-11-01T10:30:00Z", time.Date(2026, 11, 1, 10, 30, 0, 0, time.UTC)},
		{"2026-11-01T10:30:00.5+02:00", time.Date(2026, 11, 1, 8, 30, 0, 5e8, time.UTC)},
	} {
		got, err := parseTime("since", tt.in, testNow, zone)
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("parseTime(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "2", "-2h", "d", "1d-2h", "99999999w", "2026-13-01", "tomorrow"} {
		if got, err := parseTime("since", bad, testNow, zone); codeOf(err) != exitUsage {
			t.Errorf("parseTime(%q) = %v, %v", bad, got, err)
		}
	}
}

func TestHumanNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 59 * time.Second: "59s", 90 * time.Minute: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		if got := ageText(d); got != want {
			t.Errorf("ageText(%v) = %s, want %s", d, got, want)
		}
	}
	for s, want := range map[string]string{"": "", "abc": "abc", "abcd": "abcd", "abcde": "abc…", "äöüßx": "äöü…"} {
		if got := shorten(s, 4); got != want {
			t.Errorf("shorten(%q, 4) = %q, want %q", s, got, want)
		}
	}
}

// TestCleanJSON checks that cleaned JSON says the same and has nothing that a
// terminal acts on.
func TestCleanJSON(t *testing.T) {
	for _, s := range []string{"plain", "ä\u0085\u202e\x7f\x1b\u2028\U000e0041\ue000😀", "a\tb\nc", "\xff"} {
		checkClean(t, s)
	}
}

func FuzzCleanJSON(f *testing.F) {
	f.Add("\u202e\U000e0041")
	f.Fuzz(checkClean)
}

func checkClean(t *testing.T, s string) {
	t.Helper()
	var buf bytes.Buffer
	if err := writeJSON(&buf, []string{s}); err != nil {
		t.Fatal(err)
	}
	for _, r := range buf.String() {
		if r != '\n' && !printable(r) {
			t.Errorf("%q: printed %U", s, r)
		}
	}
	var back []string
	if err := json.Unmarshal(buf.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(s, "\ufffd"); len(back) != 1 || utf8.ValidString(s) && back[0] != want {
		t.Errorf("%q came back as %q", s, back)
	}
}

func TestProgress(t *testing.T) {
	p := &progress{width: 80, doing: "fetching"}
	p.of(3)
	p.expect(4 << 20)
	p.add(1 << 20)
	p.done()
	want := "fetching 1/3  1.0 MiB / 4.0 MiB [==========" + strings.Repeat(" ", 30) + "]"
	if got := p.line(); got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	for width := 1; width < 100; width++ {
		p.width = width
		if n := utf8.RuneCountInString(p.line()); n >= max(width, 3) {
			t.Errorf("a line of %d columns on a terminal of %d", n, width)
		}
	}

	var quiet bytes.Buffer
	p = newProgress(&stdio{err: &quiet}, "fetching", 1)
	p.expect(1)
	p.close()
	if quiet.Len() > 0 {
		t.Errorf("printed %q where there is no terminal", quiet.String())
	}
	var bar bytes.Buffer
	p = newProgress(&stdio{err: &bar, errWidth: 80}, "fetching", 1)
	p.close()
	if !strings.HasSuffix(bar.String(), "\r\x1b[K") {
		t.Errorf("left %q on the terminal", bar.String())
	}
}

// slowStore is a store whose dumps open only when the test says so.
type slowStore struct {
	store
	open func(ctx context.Context, e sink.Entry) (sink.Object, error)
}

func (s *slowStore) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	return s.open(ctx, e)
}

// TestReadHeadersOrder checks that headers come in the order of the listing,
// whatever order the reads end in, that dumps which disappear are left out, and
// that nothing is left running when the caller has enough.
func TestReadHeadersOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	data, _, err := fixtureBytes("manual")
	if err != nil {
		t.Fatal(err)
	}
	var entries []sink.Entry
	for i := range 3 * width {
		entries = append(entries, sink.Entry{Key: fmt.Sprint(i)})
	}
	second := make(chan struct{})
	st := &slowStore{open: func(ctx context.Context, e sink.Entry) (sink.Object, error) {
		switch e.Key {
		case "0":
			<-second // the first one comes after the second
		case "1":
			close(second)
		case "2":
			return nil, sink.ErrNotFound
		case "3":
			return nil, errors.New("broken")
		}
		return memObject{bytes.NewReader(data)}, nil
	}}
	var got []string
	for l, err := range readHeaders(context.Background(), st, seqOf(entries)) {
		if err != nil {
			t.Fatal(err)
		}
		if (l.Key == "3") != (l.err != nil) {
			t.Errorf("dump %s: %v", l.Key, l.err)
		}
		if got = append(got, l.Key); len(got) == 6 {
			break
		}
	}
	if s := strings.Join(got, " "); s != "0 1 3 4 5 6" {
		t.Errorf("headers of %s", s)
	}
}

type memObject struct{ *bytes.Reader }

func (memObject) Close() error { return nil }

// TestInterrupt checks that a done context ends a command with a message.
func TestInterrupt(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	if err := storeFixtures(dir, "panic", "errspan"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("sink: {local: {dir: "+dir+"}}\nspool: {mode: \"on\", dir: "+t.TempDir()+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"ls", "--dir", dir},
		{"fetch", "--dir", dir, "-o", t.TempDir(), traceA},
		{"fetch", "--dir", dir, "--peek", traceA},
		{"peek", "--dir", dir, traceA},
		{"export", "--dir", dir, traceA},
		{"verify", "--dir", dir},
		{"prune", "--dir", dir, "--max-count", "1"},
		{"push", "--config", file},
	} {
		var out, errs bytes.Buffer
		code := run(ctx, &stdio{out: &out, err: &errs, now: time.Now, local: time.UTC}, args)
		if code != exitFailed || errs.String() != "coredumpy: error: interrupted\n" || out.Len() > 0 {
			t.Errorf("%v: code %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

// failingObject breaks off in the middle.
type failingObject struct{ size int64 }

func (o failingObject) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, errors.New("connection reset")
	}
	return min(len(p), 10), nil
}
func (o failingObject) Size() int64  { return o.size }
func (o failingObject) Close() error { return nil }

// TestCopyBreaksOff checks that a copy that did not come whole is not there.
func TestCopyBreaksOff(t *testing.T) {
	dir := t.TempDir()
	broken := inMemory(failingObject{100}, true)
	broken.entry = sink.Entry{Identity: dump.Identity{ID: fixtureID(1, 1)}}
	_, err := newCopier(dir, newProgress(&stdio{err: io.Discard}, "fetching", 1)).copy(t.Context(), broken)
	if err == nil || !strings.Contains(err.Error(), "connection reset") || codeOf(err) != exitFailed {
		t.Errorf("error %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestNoColour checks that NO_COLOR is respected.
func TestNoColour(t *testing.T) {
	for _, tt := range []struct {
		noColor, term string
		want          bool
	}{{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}} {
		t.Setenv("NO_COLOR", tt.noColor)
		t.Setenv("TERM", tt.term)
		if got := wantsColour(80); got != tt.want {
			t.Errorf("NO_COLOR=%q TERM=%s: colour %v", tt.noColor, tt.term, got)
		}
		if wantsColour(0) {
			t.Error("colour where there is no terminal")
		}
	}
}

// TestPruneAsks checks that at a terminal nothing is deleted before somebody has
// said yes.
func TestPruneAsks(t *testing.T) {
	for _, tt := range []struct {
		answer   string
		terminal bool
		args     []string
		deleted  bool
	}{
		{"y\n", true, nil, true},
		{"YES\n", true, nil, true},
		{"n\n", true, nil, false},
		{"\n", true, nil, false},
		{"", true, nil, false},
		{"yellow\n", true, nil, false},
		{"", true, []string{"--yes"}, true},
		{"", true, []string{"--dry-run"}, false},
		{"", false, nil, true},
	} {
		dir := t.TempDir()
		if err := storeFixtures(dir, "panic", "stripped"); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		std := &stdio{in: strings.NewReader(tt.answer), out: &out, err: &errs, now: func() time.Time { return testNow }, local: time.UTC}
		if tt.terminal {
			std.inTerminal, std.errWidth = true, 80
		}
		code := run(t.Context(), std, append([]string{"prune", "--dir", dir, "--max-count", "1"}, tt.args...))
		_, err := os.Stat(filepath.Join(dir, "v1", "traces", traceB))
		if code != exitOK || os.IsNotExist(err) != tt.deleted {
			t.Errorf("answer %q, terminal %v, %v: code %d, %v, %q, %q", tt.answer, tt.terminal, tt.args, code, err, out.String(), errs.String())
		}
		asked := strings.Contains(errs.String(), "Delete 1 of 2 dumps, ") && strings.Contains(errs.String(), ", from local folder "+dir+"? [y/N] ")
		if want := tt.terminal && tt.args == nil; asked != want {
			t.Errorf("answer %q, %v: asked %v, %q", tt.answer, tt.args, asked, errs.String())
		}
		if !tt.deleted && tt.args == nil && !strings.Contains(errs.String(), "nothing was deleted") {
			t.Errorf("answer %q: %q", tt.answer, errs.String())
		}
	}
}

// TestLsPieces checks that a long table has one head and columns that stand below
// each other, and that JSON in pieces is JSON.
func TestLsPieces(t *testing.T) {
	var out bytes.Buffer
	std := &stdio{out: &out, now: func() time.Time { return testNow }, local: time.UTC}
	p := newLsPrinter(std, formatText)
	const n = 2*lsBatch + 7
	for i := range n {
		h := panicFixture().header
		h.ID = manyID(i)
		if err := p.add(listed{Entry: sink.Entry{Identity: h.Identity}, header: &h}); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() == 0 {
		t.Error("nothing was printed before the end")
	}
	if err := p.end(true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != n+1 || strings.Count(out.String(), "TRACE ID") != 1 {
		t.Errorf("%d lines", len(lines))
	}
	column := func(line, text string) int {
		before, _, _ := strings.Cut(line, text)
		return utf8.RuneCountInString(before)
	}
	for i, l := range lines[1:] {
		if column(l, traceA) != column(lines[0], "TRACE ID") {
			t.Fatalf("line %d: %q", i+1, l)
		}
	}

	for _, n := range []int{0, 1, 3} {
		out.Reset()
		a := newJSONArray(&out)
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("line\n%d", i))
			if err := a.add(all[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.close(); err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if err := writeJSON(&whole, list(all)); err != nil {
			t.Fatal(err)
		}
		if whole.String() != out.String() {
			t.Errorf("in pieces %q, at once %q", out.String(), whole.String())
		}
	}
}
