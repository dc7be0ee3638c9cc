package corpus

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

func init() {
	register("interfaces", func() { interfaces(errFixed) })
	register("errors", func() { errorsOf(3) })
}

var errFixed = errors.New("fixed")

type codeError int

func (c codeError) Error() string { return fmt.Sprint("code ", int(c)) }
func (c codeError) code() int     { return int(c) }

type ptrError struct {
	op  string
	err error
}

func (p *ptrError) Error() string { return p.op }
func (p *ptrError) Unwrap() error { return p.err }

type directError struct{ p *int }

func (d directError) Error() string { return "direct" }

type funcError func() string

func (f funcError) Error() string { return f() }

type mapError map[string]int

func (m mapError) Error() string { return "map" }

type chanError chan int

func (c chanError) Error() string { return "chan" }

type zeroError struct{}

func (zeroError) Error() string { return "zero" }

type wideError struct{ w wide }

func (wideError) Error() string { return "wide" }

type arrayError [1]*int

func (arrayError) Error() string { return "array" }

type blankDirect struct {
	_ struct{}
	p *int
	_ [0]int
}

func interfaces(e error) {
	five := 5
	var nilAny any
	var nilErr error
	var nilPtr *ptrError
	var typedNil error = nilPtr
	var typedNilAny any = (*int)(nil)
	ints := []any{int8(-1), int16(-2), int32(-3), int64(-4), -5, uint8(1), uint16(2), uint32(3), uint64(4), uint(5), uintptr(6)}
	others := []any{true, "s", 1.5, float32(2.5), 1i, complex64(2i), 'x', nil}
	var val error = codeError(7)
	var ptr error = &ptrError{"op", val}
	var direct error = directError{&five}
	var fn error = funcError(func() string { return "f" })
	var mp error = mapError{"k": 1}
	var ch error = make(chanError, 2)
	var zero error = zeroError{}
	var wd error = wideError{wide{head: "w"}}
	var arr error = arrayError{&five}
	var bd any = blankDirect{p: &five}
	var st any = key{1, "x"}
	var sl any = []int{1, 2}
	var ar any = [3]int{1, 2, 3}
	var anon any = struct {
		A int
		b string
	}{1, "x"}
	var inner any = []any{any(any(1)), error(val)}
	var stringer fmt.Stringer
	var reader io.Reader = strings.NewReader("text")
	rw := struct {
		io.Reader
		io.Writer
	}{reader, nil}
	pany := &st
	var pa any = pany
	var up any = uintptr(9)
	var loc interface {
		error
		code() int
	} = codeError(8)
	var empt any = empty{}
	var es any = [0]int{}
	fail("interfaces")
	if never {
		sink = []any{e, five, nilAny, nilErr, nilPtr, typedNil, typedNilAny, ints, others, val, ptr, direct, fn, mp, ch, zero, wd, arr, bd, st, sl, ar, anon, inner, stringer, reader, rw, pany, pa, up, loc, empt, es}
	}
}

func errorsOf(n int) {
	base := errFixed
	wrap := fmt.Errorf("wrap %d: %w", n, base)
	many := fmt.Errorf("%w and %w", base, codeError(n))
	join := errors.Join(base, nil, wrap, &ptrError{"join", many})
	var pe *ptrError
	ok := errors.As(join, &pe)
	if join != nil {
		panic(join)
	}
	sink = []any{base, wrap, many, join, pe, ok}
}
