package dump_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A dump is written record by record, in any order, and opened again with random
// access.
func Example() {
	var file bytes.Buffer
	w := dump.NewWriter(&file)
	w.Type(&dump.Type{ID: 1, Name: "int", Kind: dump.Int, Size: 8})
	w.Type(&dump.Type{ID: 2, Name: "*int", Kind: dump.Pointer, Size: 8, Elem: 1})
	w.Object(&dump.Object{ID: 1, Addr: 0xc000012080, Value: dump.Value{Type: 1, Num: 42}})
	w.Goroutine(&dump.Goroutine{ID: 7, Status: "running", Failing: true, Frames: []dump.Frame{{
		Func: "shop.total", File: "shop.go", Line: 12, User: true,
		Vars: []dump.Variable{{Name: "sum", Value: dump.Value{Type: 2, Ptr: 0xc000012080, Obj: 1}}},
	}}})
	// Errors stay with the writer, so it is enough to look at the last one.
	if _, err := w.Close(&dump.Header{Trigger: dump.TriggerManual}); err != nil {
		log.Fatal(err)
	}

	r, err := dump.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	g, err := r.Failing()
	if err != nil {
		log.Fatal(err)
	}
	v := g.Frames[0].Vars[0]
	o, err := r.Object(v.Value.Obj)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s %s = &%d\n", g.Frames[0].Func, v.Name, r.Type(v.Value.Type).Name, o.Value.Num)
	// Output: shop.total: sum *int = &42
}
