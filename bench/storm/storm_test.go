package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestStorm runs a short storm and checks what does not depend on the machine:
// every failure is accounted for, and nothing has grown without bound.
func TestStorm(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "storm")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin, "-for", "3s", "-rate", "3000", "-healthy", "50", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []struct {
		result
		Stats struct {
			Stored, Lost, Suppressed map[string]int64
			Joined, Excluded         int64
		} `json:"stats"`
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := results[1]
	var stored, suppressed, sum int64
	for _, n := range r.Stats.Stored {
		stored += n
	}
	for _, n := range r.Stats.Suppressed {
		suppressed += n
	}
	sum = stored + suppressed + r.Stats.Joined + r.Stats.Excluded
	for _, n := range r.Stats.Lost {
		sum += n
	}
	if sum != r.Failures || stored == 0 || suppressed < r.Failures/2 {
		t.Errorf("of %d failures %d are accounted for: %+v", r.Failures, sum, r.Stats)
	}
	if r.After > r.Before || r.Heap > 64<<20 || r.Requests == 0 {
		t.Errorf("%d goroutines before, %d after; heap %d bytes; %d healthy requests", r.Before, r.After, r.Heap, r.Requests)
	}
}
