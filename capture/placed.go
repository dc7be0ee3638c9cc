package capture

// placed is where a variable lies in every frame at one pc, relative to the frame's CFA,
// and what was found out about it once. Thousands of goroutines wait in the same few places.
type placed struct {
	state     placedState
	ok        bool
	exprLen   int
	pieces    []placedPiece
	low, high uint64
	t         *typ
	known     uint8 // bits of what is known of it …
	is        uint8 // … and whether it is so
}

type placedState uint8

const (
	placedNew   placedState = iota
	placedKnown             // as it says
	placedNever             // it depends on more than the CFA
)

type placedPiece struct {
	piece
	relative bool // value is relative to the CFA
}

// What once remembers.
const (
	deadKnown = 1 << iota
	overKnown
)

// once returns what f does. It asks once, if the place is known.
func (pl *placed) once(what uint8, f func() bool) bool {
	if pl == nil || pl.state != placedKnown {
		return f()
	}
	if pl.known&what == 0 {
		pl.known |= what
		if f() {
			pl.is |= what
		}
	}
	return pl.is&what != 0
}

// placeOf returns where a variable lies in a frame: its location expression, empty if it
// has none, its pieces, and the addresses [low, high) at which it is there.
func (l *locator) placeOf(f *frame, v *variable, t *typ, pl *placed) (expr []byte, pieces []piece, low, high uint64, ok bool) {
	if pl == nil || pl.state == placedNever || f.regs != nil && pl.state == placedNew {
		return l.place(f, v, t)
	}
	if pl.state == placedNew {
		expr, pieces, low, high, ok = l.place(f, v, t)
		pl.learn(l, f, v, t, expr, pieces, low, high, ok)
		return expr, pieces, low, high, ok
	}
	pieces = l.pieces[:0]
	for i := range pl.pieces {
		p := pl.pieces[i].piece
		if pl.pieces[i].relative {
			p.value += f.cfa
		}
		pieces = append(pieces, p)
	}
	l.pieces = pieces
	return someExpr[:min(pl.exprLen, len(someExpr))], pieces, pl.low, pl.high, pl.ok
}

// someExpr stands for an expression of which only matters that there is one.
var someExpr = make([]byte, 1)

// learn keeps what place has found, if another CFA moves it along and changes nothing else.
func (pl *placed) learn(l *locator, f *frame, v *variable, t *typ, expr []byte, pieces []piece, low, high uint64, ok bool) {
	const by = 1 << 20
	moved := *f
	moved.cfa, moved.sp, moved.argLow, moved.argHi = f.cfa+by, f.sp+by, f.argLow+by, f.argHi+by
	e, ps, lo, hi, ok2 := l.place(&moved, v, t)
	pl.state = placedNever
	if ok != ok2 || len(e) != len(expr) || len(ps) != len(pieces) || lo != low || hi != high {
		return
	}
	out := make([]placedPiece, len(pieces))
	for i, p := range pieces {
		q := ps[i]
		if p.kind != q.kind || p.size != q.size || q.value != p.value && q.value != p.value+by {
			return
		}
		out[i] = placedPiece{p, q.value != p.value}
		if out[i].relative {
			out[i].value -= f.cfa
		}
	}
	*pl = placed{state: placedKnown, ok: ok, exprLen: len(expr), pieces: out, low: low, high: high, t: pl.t}
}

// place looks a variable's place up.
func (l *locator) place(f *frame, v *variable, t *typ) (expr []byte, pieces []piece, low, high uint64, ok bool) {
	at := f.lookup() - l.di.bias
	expr = v.expr
	list := expr == nil && v.list >= 0
	if list {
		expr, low, high = l.di.locationAt(f.fn.unit, v.list, at)
	}
	pieces, ok = locate(expr, f.cfa, l.di.bias, f.regs)
	if list && f.returns() && inRegisters(pieces, f.regs) {
		// The list prefers a register as long as there is one. What is in memory as
		// well shows behind the call, which has spoilt the registers; only what
		// the callee itself leaves in memory is not there yet.
		if e, lo, hi := l.di.locationAt(f.fn.unit, v.list, at+1); len(e) > 0 {
			if ps, ok := locate(e, f.cfa, l.di.bias, nil); ok && f.before(ps, t.size) {
				expr, pieces, low, high = e, ps, lo, hi
			}
		}
	}
	return expr, pieces, low, high, ok
}
