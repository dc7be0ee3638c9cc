// Command badger is a service on badger that fails on a value in the memory-mapped value log, with
// badger's caches and memory tables, part of them outside of the Go heap, behind it.
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/otelcoredumpy/otelcoredumpy/test/strangers/harness"
)

type page struct {
	title string
	size  int
}

// render is called with what lies in the value log.
func render(key string, val []byte) page {
	head, body, _ := bytes.Cut(val, []byte("\n"))
	p := page{title: string(head)}
	sections := bytes.Split(body[:min(len(body), 64)], []byte("|"))
	p.size = len(sections[3]) // FAIL: a page has four sections
	return p
}

func show(db *badger.DB, key string) (p page, err error) {
	err = db.View(func(txn *badger.Txn) error {
		it, err := txn.Get([]byte(key))
		if err != nil {
			return err
		}
		return it.Value(func(val []byte) error {
			p = render(key, val)
			return nil
		})
	})
	return p, err
}

func fill(db *badger.DB) error {
	for i := range 40 {
		key, sep := fmt.Sprintf("page-%02d", i), "|"
		if i == 17 {
			sep = "-"
		}
		// Longer than what badger keeps in its tables.
		val := []byte(fmt.Sprintf("Title of %s\none%stwo%sthree%sfour", key, sep, sep, sep))
		val = append(val, bytes.Repeat([]byte("lorem "), 200_000)...)
		if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(key), val) }); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	dir, err := os.MkdirTemp(os.Args[1], "data")
	harness.Exit(err)
	defer os.RemoveAll(dir)
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil))
	harness.Exit(err)
	harness.Exit(fill(db))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{key}", func(w http.ResponseWriter, r *http.Request) {
		p, err := show(db, r.PathValue("key"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, p.title, p.size)
	})
	mux.HandleFunc("GET /warm", func(http.ResponseWriter, *http.Request) { panic(db.MaxVersion()) })
	harness.Exit(harness.Serve("badger", mux,
		[]harness.Request{{Method: "GET", Path: "/page/page-01"}, {Method: "GET", Path: "/page/page-30"}},
		harness.Request{Method: "GET", Path: "/warm"}, harness.Request{Method: "GET", Path: "/page/page-17"}))
}
