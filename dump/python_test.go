package dump

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// testdata/reader.py was made from docs/format.md alone. It has to read what this
// package writes, and see in it what this package sees.

// zstdHelper in the environment makes the test binary a program that
// decompresses, for the reader in Python: most machines have no zstd.
const zstdHelper = "DUMP_TEST_ZSTD"

func TestMain(m *testing.M) {
	if os.Getenv(zstdHelper) == "" {
		os.Exit(m.Run())
	}
	if err := unzstd(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func unzstd(w io.Writer, r io.Reader) error {
	in, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(w, in)
	return err
}

// python runs the reader in Python on a file.
func python(t *testing.T, path string) (map[string]any, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", filepath.Join("testdata", "reader.py"), "--zstd", "'"+self+"'", path)
	cmd.Env = append(os.Environ(), zstdHelper+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	var got map[string]any
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

// spoken is a dump as the reader in Python prints it, but with names as in Go, all
// in lower case.
func (c *content) spoken() map[string]any {
	h := plainOf(reflect.ValueOf(c.header)).(map[string]any)
	delete(h, "formatversion")
	all := map[string]any{"version": c.header.FormatVersion, "header": h, "problems": []any{}}
	add := func(name string, v any) {
		list, _ := all[name].([]any)
		all[name] = append(list, plainOf(reflect.ValueOf(v)))
	}
	for _, t := range c.types {
		add("types", *t)
	}
	for _, o := range c.objects {
		add("objects", *o)
	}
	for _, g := range c.goroutines {
		if g.Failing {
			add("failing", *g)
		} else {
			add("goroutines", *g)
		}
	}
	for _, s := range c.sources {
		add("sources", *s)
	}
	for _, v := range c.vars {
		add("packagevars", *v)
	}
	if c.extra != nil {
		add("extra", *c.extra)
	}
	return all
}

// plainOf makes maps, lists, numbers and texts of a value of the model; what has
// its zero value is left out.
func plainOf(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return nil
		}
		return map[string]any{"seconds": json.Number(strconv.FormatInt(x.Unix(), 10)), "nanos": json.Number(strconv.Itoa(x.Nanosecond()))}
	case ErrorInfo:
		// In the file, 0 is the root.
		type written ErrorInfo
		x.Parent++
		return plainOf(reflect.ValueOf(written(x)))
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			p := plainOf(v.Field(i))
			if sub, ok := p.(map[string]any); ok && v.Type().Field(i).Anonymous {
				for k, s := range sub {
					m[k] = s
				}
			} else if sub, ok := p.(map[string]any); p != nil && (!ok || len(sub) > 0) {
				m[strings.ToLower(v.Type().Field(i).Name)] = p
			}
		}
		return m
	case reflect.Slice, reflect.Array:
		if v.Len() == 0 {
			return nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			if v.Kind() == reflect.Array && len(bytes.Trim(b, "\x00")) == 0 {
				return nil
			}
			return hex.EncodeToString(b)
		}
		list := make([]any, v.Len())
		for i := range list {
			if list[i] = plainOf(v.Index(i)); list[i] == nil {
				list[i] = "" // the only kind of element that is not a struct
			}
		}
		return list
	}
	switch {
	case v.IsZero():
		return nil
	case v.CanInt():
		return json.Number(strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		return json.Number(strconv.FormatUint(v.Uint(), 10))
	case v.Kind() == reflect.Bool:
		return true
	}
	return v.String()
}

// goNames takes the underscores out of the names.
func goNames(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, x := range v {
			m[strings.ReplaceAll(k, "_", "")] = goNames(x)
		}
		return m
	case []any:
		for i := range v {
			v[i] = goNames(v[i])
		}
	}
	return v
}

func agreeWithPython(t *testing.T, path string, want map[string]any) {
	t.Helper()
	out, err := python(t, path)
	if err != nil {
		t.Fatal(err)
	}
	got := goNames(out).(map[string]any)
	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			w, _ := json.Marshal(want[name])
			g, _ := json.Marshal(got[name])
			t.Errorf("%s of %s differ\nPython: %.2000s\n    Go: %.2000s", name, filepath.Base(path), g, w)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("%s: Python found something else: %v", filepath.Base(path), got)
	}
}

func TestPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatalf("python3 is needed to test that docs/format.md is enough to write a reader (Debian: apt-get install python3): %v", err)
	}
	for name, c := range map[string]*content{"v1.cdmp": fixture(), "v1.1.cdmp": fixture11(), "future-minor.cdmp": futureContent()} {
		agreeWithPython(t, filepath.Join("testdata", name), c.spoken())
	}

	// A section that it must not read is missing, and that is said.
	c := futureContent()
	want := c.spoken()
	want["objects"] = want["objects"].([]any)[4:]
	want["problems"] = []any{"section 6: unknown flags"}
	agreeWithPython(t, filepath.Join("testdata", "future-flag.cdmp"), want)
	if _, err := python(t, filepath.Join("testdata", "future-major.cdmp")); err == nil || !strings.Contains(err.Error(), "version 2.3 is not known") {
		t.Errorf("a file of another major version: %v", err)
	}

	// Anything else, too.
	seeds := 8
	if raceEnabled {
		seeds = 0 // starting this binary for each section takes long then
	}
	for seed := range seeds {
		g := newGenerator(uint64(seed))
		c := g.dump(15)
		path := filepath.Join(t.TempDir(), "random.cdmp")
		file := c.file(t, WithChunkSize(1<<g.IntN(20)))
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		agreeWithPython(t, path, c.spoken())
	}

	// And it sees what is wrong.
	_, file := smallDump(t)
	r := open(t, file)
	last := r.sections[len(r.sections)-2]
	for what, c := range map[string]struct {
		file []byte
		want string
	}{
		"torn":    {file[:last.end()-1], fmt.Sprintf("section %d: truncated", len(r.sections)-2)},
		"flipped": {append(append(bytes.Clone(file[:last.end()-1]), file[last.end()-1]^1), file[last.end():]...), fmt.Sprintf("section %d: the payload is damaged", len(r.sections)-2)},
		"longer":  {append(bytes.Clone(file), 0), "the end is not that of this file"},
	} {
		path := filepath.Join(t.TempDir(), "bad.cdmp")
		if err := os.WriteFile(path, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := python(t, path)
		if err != nil {
			t.Fatal(err)
		}
		if problems := fmt.Sprint(got["problems"]); !strings.Contains(problems, c.want) {
			t.Errorf("%s: problems %s, want %s", what, problems, c.want)
		}
	}
}
