package debugger_test

import (
	"sync"
	"testing"
)

// TestConcurrent uses one session's scopes from several goroutines, as an
// editor's requests do. It is for the race detector.
func TestConcurrent(t *testing.T) {
	s := shopSession(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sc, err := s.Home().AtFrame(4)
			if err != nil {
				t.Error(err)
				return
			}
			if got := eval(sc, `stock.(store.Shelf)["apple"]`); got != "7" {
				t.Errorf("got %s", got)
			}
			if _, err := sc.WhatIs("store.Order"); err != nil {
				t.Error(err)
			}
			if _, err := sc.Find("Price"); err != nil {
				t.Error(err)
			}
			if list, err := s.Goroutines(); len(list) != 3 || err != nil {
				t.Errorf("%d goroutines, %v", len(list), err)
			}
			sc.Complete("o.")
		})
	}
	wg.Wait()
}
