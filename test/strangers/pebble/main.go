// Command pebble is a service on pebble whose own merge operator meets an operand that it has
// not made.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/otelcoredumpy/otelcoredumpy/test/strangers/harness"
)

// counter is a value merger that adds numbers up.
type counter struct {
	key  string
	sum  int64
	seen []string
}

func (c *counter) MergeNewer(v []byte) error { return c.add(v) }
func (c *counter) MergeOlder(v []byte) error { return c.add(v) }

func (c *counter) add(v []byte) error {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		panic(fmt.Errorf("counter %s after %d operands: %w", c.key, len(c.seen), err)) // FAIL
	}
	c.sum += n
	c.seen = append(c.seen, string(v))
	return nil
}

func (c *counter) Finish(bool) ([]byte, io.Closer, error) {
	return strconv.AppendInt(nil, c.sum, 10), nil, nil
}

func open(dir string) (*pebble.DB, error) {
	return pebble.Open(dir, &pebble.Options{
		Logger: quiet{},
		Merger: &pebble.Merger{Name: "counter", Merge: func(key, value []byte) (pebble.ValueMerger, error) {
			c := &counter{key: string(key)}
			return c, c.add(value)
		}},
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	fmt.Fprintf(os.Stderr, f, a...)
	os.Exit(1)
}

func fill(db *pebble.DB) error {
	for i := range 300 {
		key := fmt.Appendf(nil, "hits/page-%03d", i)
		for n := range 4 {
			v := strconv.Itoa(i + n)
			if i == 123 && n == 1 {
				v = "twelve"
			}
			if err := db.Merge(key, []byte(v), pebble.NoSync); err != nil {
				return err
			}
		}
	}
	return nil
}

func read(db *pebble.DB, key string) (string, error) {
	v, closer, err := db.Get([]byte(key))
	if err != nil {
		return "", err
	}
	defer closer.Close()
	return string(v), nil
}

func main() {
	dir, err := os.MkdirTemp(os.Args[1], "data")
	harness.Exit(err)
	defer os.RemoveAll(dir)
	db, err := open(filepath.Join(dir, "db"))
	harness.Exit(err)
	harness.Exit(fill(db))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hits/{page}", func(w http.ResponseWriter, r *http.Request) {
		page := "hits/" + r.PathValue("page")
		v, err := read(db, page)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, v)
	})
	mux.HandleFunc("GET /warm", func(http.ResponseWriter, *http.Request) { panic(db.Metrics().Total().TablesCount) })
	harness.Exit(harness.Serve("pebble", mux,
		[]harness.Request{{Method: "GET", Path: "/hits/page-001"}, {Method: "GET", Path: "/hits/page-200"}},
		harness.Request{Method: "GET", Path: "/warm"}, harness.Request{Method: "GET", Path: "/hits/page-123"}))
}
