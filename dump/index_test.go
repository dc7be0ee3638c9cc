package dump

import (
	"fmt"
	"testing"
)

// The first source is found without reading the others.
func TestSourcesAreReadAsNeeded(t *testing.T) {
	c := &content{}
	for i := range 2000 {
		c.sources = append(c.sources, &Source{File: fmt.Sprintf("file%d.go", i), Blocks: []SourceBlock{{First: i * 7919, Lines: []string{"x", "y"}}}})
	}
	r := open(t, c.file(t, WithChunkSize(minChunk)))
	if len(r.sources) < 10 {
		t.Fatalf("only %d sections", len(r.sources))
	}
	for i, want := range []int{1, 1, len(r.sources), len(r.sources)} {
		got, err := r.Source([]string{"file3.go", "file0.go", "file1999.go", "file7.go"}[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Blocks) != 1 || r.sourceIndex.next != want {
			t.Errorf("source %d: %+v, %d sections of %d were read, want %d", i, got, r.sourceIndex.next, len(r.sources), want)
		}
	}
	files, err := r.Sources()
	if err != nil || len(files) != len(c.sources) {
		t.Errorf("%d files, error %v", len(files), err)
	}
	files[0] = "changed"
	if again, _ := r.Sources(); again[0] != "file0.go" {
		t.Error("the list of files is not the caller's")
	}
}
