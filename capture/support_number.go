package capture

import (
	"math/big"
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var numberSupports = []builtinType{
	{"math/big.Int", TypeSupport{Near: []string{"abs"}, Describe: func(v View, d *Description) {
		if n, ok := bigInt(v); ok {
			d.Summary(bigText(n))
		}
	}}},
	{"math/big.Rat", TypeSupport{Near: []string{"a", "b"}, Describe: func(v View, d *Description) {
		a, ok1 := bigInt(v.Field("a"))
		b, ok2 := bigInt(v.Field("b"))
		if !ok1 || !ok2 {
			return
		}
		if b.Sign() == 0 {
			b.SetInt64(1) // as package big has it
		}
		d.Summary(bigText(a) + "/" + bigText(b.Abs(b)))
	}}},
	{"math/big.Float", TypeSupport{Near: []string{"mant"}, Describe: describeFloat}},
}

// maxDigits bounds the work of printing a number, which grows with the square of its length.
const maxDigits = 64 * 64 // bits

func bigInt(v View) (*big.Int, bool) {
	neg, ok := v.Field("neg").Bool()
	abs := v.Field("abs")
	if !ok || abs.Kind() != dump.Slice {
		return nil, false
	}
	n, ok := natOf(abs)
	if !ok {
		return nil, false
	}
	if neg {
		n.Neg(n)
	}
	return n, true
}

// natOf reads a big.nat: words, the least significant first.
func natOf(v View) (*big.Int, bool) {
	if v.IsNil() {
		return new(big.Int), true
	}
	words, whole := v.Words()
	if !whole {
		return nil, false
	}
	bits := make([]big.Word, len(words))
	for i, w := range words {
		bits[i] = big.Word(w)
	}
	return new(big.Int).SetBits(bits), true
}

func bigText(n *big.Int) string {
	if n.BitLen() > maxDigits {
		return pick(n.Sign() < 0, "-", "") + "2**" + strconv.Itoa(n.BitLen()-1) + " or more (" + strconv.Itoa(n.BitLen()) + " bits)"
	}
	return n.String()
}

// describeFloat reads a big.Float (math/big/float.go): 0.mant × 2**exp.
func describeFloat(v View, d *Description) {
	prec, ok1 := v.Field("prec").Uint()
	form, ok2 := v.Field("form").Uint()
	neg, ok3 := v.Field("neg").Bool()
	exp, ok4 := v.Field("exp").Int()
	if !ok1 || !ok2 || !ok3 || !ok4 || v.Field("mant").Kind() != dump.Slice {
		return
	}
	sign := pick(neg, "-", "")
	switch form {
	case 0:
		d.Summary(sign + "0")
		return
	case 2:
		d.Summary(pick(neg, "-Inf", "+Inf"))
		return
	case 1:
	default:
		return
	}
	mant, ok := natOf(v.Field("mant"))
	if !ok || mant.Sign() == 0 || prec == 0 || prec > maxDigits {
		return
	}
	words := v.Field("mant").Len()
	f := new(big.Float).SetPrec(uint(prec)).SetInt(mant)
	f.SetMantExp(f, int(exp)-64*words)
	if neg {
		f.Neg(f)
	}
	if exp > maxDigits || exp < -maxDigits {
		d.Summary(f.Text('p', 0))
		return
	}
	d.Summary(f.String())
}
