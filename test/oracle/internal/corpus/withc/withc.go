// Package withc is the part of the corpus that calls C.
package withc

/*
#include <stdlib.h>
#include <string.h>
typedef struct { int a; double b; char name[8]; struct { short x; } in; } rec;
typedef enum { RED, GREEN = 5 } color;
static rec *mk(void) { rec *r = calloc(1, sizeof *r); r->a = 3; r->b = 2.5; strcpy(r->name, "c"); r->in.x = 7; return r; }
*/
import "C"

import "unsafe"

// Fail panics with values of C in scope.
func Fail(never *bool, sink *any) {
	r := C.mk()
	s := C.CString("c string")
	mem := C.malloc(64)
	var nilRec *C.rec
	n, u, d, ch, sz := C.int(-4), C.uint(5), C.double(1.5), C.char('c'), C.size_t(9)
	rec := *r
	col := C.color(C.GREEN)
	var arr [3]C.long
	arr[2] = 8
	void := unsafe.Pointer(r)
	fail("cgo")
	if *never {
		*sink = []any{r, s, mem, nilRec, n, u, d, ch, sz, rec, col, arr, void}
	}
}

//go:noinline
func fail(why string) { panic(why) }
