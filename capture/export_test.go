package capture

import (
	"encoding/binary"
	"unsafe"
)

// Chill takes a loaded engine back to where its debug info is not there yet; the
// function that it returns brings it.
func (e *Engine) Chill() (warm func()) {
	<-e.ready
	di := e.info.Load()
	e.info.Store(nil)
	e.ready = make(chan struct{})
	secret := e.types.secret
	e.types = newTypeTable(self{}, e.types.module, &e.layout, &e.info)
	e.types.secret = secret
	return func() {
		e.info.Store(di)
		close(e.ready)
	}
}

// SpanOf finds the span in the live value v, as spanOf does in a variable of any.
func (e *Engine) SpanOf(v any) (traceID [16]byte, spanID [8]byte, ok bool) {
	guarded(func() {
		w := newWalker(&e.cfg, e.cfg.Depth, e.types, e.info.Load(), e.layout.Load(), e.symbols.Load().mheap)
		w.over(region{}, 0)
		words := *(*[2]uintptr)(unsafe.Pointer(&v))
		t := w.ofRtype(uint64(words[0]))
		if t == nil {
			return
		}
		var b []byte
		if t.direct {
			b = binary.LittleEndian.AppendUint64(nil, uint64(words[1]))
		} else {
			b = make([]byte, t.size)
			if w.mem.ReadAt(b, uint64(words[1])) != nil {
				return
			}
		}
		traceID, spanID, ok = w.spanOf(t, b)
	})
	return traceID, spanID, ok
}

// WithoutSupports has the engine describe no value. It must not have captured yet.
func (e *Engine) WithoutSupports() {
	secret := e.types.secret
	e.types = newTypeTable(self{}, e.types.module, &e.layout, &e.info)
	e.types.secret, e.types.supports = secret, nil
}
