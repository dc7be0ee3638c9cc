// Command bolt is a service on bbolt that finds a record which is too short. What bbolt hands to
// callbacks lies in memory-mapped pages of its file.
package main

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/otelcoredumpy/otelcoredumpy/test/strangers/harness"
)

// parse returns the amount of a record.
//
//go:noinline
func parse(key, record []byte, seen int) uint64 {
	if len(record) == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(record) + uint64(len(key)+seen)*0 // FAIL
}

func total(db *bbolt.DB, bucket string) (sum uint64, err error) {
	n := 0
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("no bucket %s", bucket)
		}
		return b.ForEach(func(k, v []byte) error {
			sum += parse(k, v, n)
			n++
			return nil
		})
	})
	return sum, err
}

func fill(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"orders", "refunds"} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for i := range 500 {
				rec := binary.BigEndian.AppendUint64(nil, uint64(i))
				if name == "refunds" && i == 42 {
					rec = []byte("bad") // no number
				}
				if err := b.Put(fmt.Appendf(nil, "%s-%04d", name, i), rec); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func main() {
	dir, err := os.MkdirTemp(os.Args[1], "data")
	harness.Exit(err)
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "shop.db"), 0o600, nil)
	harness.Exit(err)
	defer db.Close()
	harness.Exit(fill(db))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /total/{bucket}", func(w http.ResponseWriter, r *http.Request) {
		sum, err := total(db, r.PathValue("bucket"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, sum)
	})
	mux.HandleFunc("GET /warm", func(http.ResponseWriter, *http.Request) {
		_ = db.View(func(tx *bbolt.Tx) error { panic(tx.ID()) })
	})
	harness.Exit(harness.Serve("bolt", mux, []harness.Request{{Method: "GET", Path: "/total/orders"}},
		harness.Request{Method: "GET", Path: "/warm"}, harness.Request{Method: "GET", Path: "/total/refunds"}))
}
