package capture

import (
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A struct of a key and a value (an entry of a sync.Map, a context's value, an OpenTelemetry attribute, a slog.Attr, a
// name and value of a program's own) names its value by what stands in the key, as a map does. A redaction rule for
// names must see that name and not "value", or the secret is written in clear.

// pairKey is where the key of a pair stands that a slot is the value of.
type pairKey struct {
	off uint64
	typ *typ
}

// pair are the two fields of a struct type that is one, else nil.
type pair struct{ key, value *field }

// pairOf returns the pair that a struct type with these fields is.
func pairOf(fields []field) pair {
	var key, value *field
	for i := range fields {
		f := &fields[i]
		switch strings.ToLower(f.name) {
		case "key", "name", "k":
			if key == nil && (f.typ.kind == dump.String || f.typ.kind == dump.Interface) {
				key = f
			}
		case "value", "val", "v":
			if value == nil {
				value = f
			}
		}
	}
	if key == nil || value == nil {
		return pair{}
	}
	return pair{key, value}
}

// maxSecretName is how long a key may be to be a name.
const maxSecretName = 64

// secretKey returns the text of a pair's key with the bytes b, if a redaction rule knows it as a name. Where it was not
// copied and live is set, the memory is read.
func (w *walker) secretKey(t *typ, b []byte, live bool) (string, bool) {
	if t.kind == dump.Interface && len(b) >= 16 {
		dyn := w.dynamic(t, b)
		if dyn == nil || dyn.kind != dump.String {
			return "", false
		}
		at := word(b, 8)
		if o := w.objects.find(at, dyn, shapeValue, 0); o != nil && len(o.data) >= 16 {
			b = o.data
		} else {
			var err error
			if !live || !w.heap.holds(at, 16) {
				return "", false
			}
			if b, err = w.mem.bytes(at, 16); err != nil {
				return "", false
			}
		}
	} else if t.kind != dump.String {
		return "", false
	}
	if len(b) < 16 {
		return "", false
	}
	at, n := word(b, 0), word(b, 8)
	if n == 0 || n > maxSecretName {
		return "", false
	}
	text, ok := w.textOf(b)
	if !ok {
		var err error
		if !live || !w.heap.holds(at, n) {
			return "", false
		}
		if text, err = w.mem.bytes(at, int(n)); err != nil {
			return "", false
		}
	}
	if !w.types.isSecret(unsafeString(text)) {
		return "", false
	}
	return string(text), true
}

// pairName is the place of field f of a struct of type t with the bytes b: the value of a pair has its name from the key.
func (p place) pairName(w *walker, t *typ, f *field, b []byte) place {
	key, value := t.pair.key, t.pair.value
	if f != value || key == nil || p.fixed {
		return p
	}
	end := key.off + key.typ.size
	if end > uint64(len(b)) {
		return p
	}
	if name, ok := w.secretKey(key.typ, b[key.off:end], false); ok {
		p.name, p.fixed = name, true
	}
	return p
}
