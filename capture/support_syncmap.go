package capture

import (
	"reflect"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A sync.Map is a tree (internal/sync/hashtriemap.go, Go 1.24 to 1.26): an indirect node has sixteen pointers to nodes,
// which are indirect nodes or entries; their first byte tells. The pointers are to a node's
// first byte, so the walk needs to be told what is there.

// trie is what is needed to read the tree of a sync.Map.
type trie struct {
	indirect, entry *typ
	children        uint64 // offset of the pointers in an indirect node
}

const trieChildren = 16

// trieOf returns the types of the tree whose HashTrieMap is of type t, nil if they are not what is known.
func trieOf(t *typ) *trie {
	root := t.fieldNamed("root")
	if root == nil {
		return nil
	}
	p := pointee(root.typ)
	if p == nil || p.kind != dump.Pointer || p.resolve().elem == nil {
		return nil
	}
	tt := t.table
	if k, ok := tt.tries.Load(p.elem); ok {
		return k.(*trie)
	}
	k := makeTrie(p.elem)
	tt.tries.Store(p.elem, k)
	return k
}

func makeTrie(indirect *typ) *trie {
	f := indirect.fieldNamed("children")
	if f == nil || f.typ.kind != dump.Array || f.typ.size != 8*trieChildren {
		return nil
	}
	node := &indirect.fields[0]
	is := node.typ.fieldNamed("isEntry")
	if node.off != 0 || is == nil || is.off != 0 || is.typ.kind != dump.Bool {
		return nil
	}
	// No type data leads to an entry's type (internal/sync/hashtriemap.go), and the optimised
	// programs' debug info need not have it.
	if !isGo126 {
		return nil
	}
	tt := indirect.table
	eface, ptr := tt.ofReflect(reflect.TypeFor[any]()), tt.ofReflect(reflect.TypeFor[uintptr]())
	e := &typ{table: tt, name: "internal/sync.entry[interface {},interface {}]", kind: dump.Struct, size: 48, named: true}
	e.fields = []field{
		{name: "isEntry", typ: is.typ},
		{name: "overflow", typ: ptr, off: 8},
		{name: "key", typ: eface, off: 16},
		{name: "value", typ: eface, off: 32},
	}
	tt.mu.Lock()
	defer tt.mu.Unlock()
	e.id = uint32(len(tt.all) + 1)
	tt.all = append(tt.all, e)
	e.derive(0)
	e.resolved.Store(true)
	return &trie{indirect: indirect, entry: e, children: f.off}
}

// followTrie adds the nodes and entries of a sync.Map.
func followTrie(w *walker, t *typ, data []byte, depth uint8, name string, secret bool) {
	k := trieOf(t)
	root := t.fieldNamed("root")
	if k == nil || root.off+root.typ.size > uint64(len(data)) {
		return
	}
	at := word(data, int(root.off+root.typ.size-8))
	left := w.cfg.MaxMapEntries
	nodes := 2*left + trieChildren
	w.followNodes(k, at, depth, name, secret, 0, &left, &nodes)
}

// maxTrie is how deep a tree is: 64 bits of hash, four for each level.
const maxTrie = 16

func (w *walker) followNodes(k *trie, at uint64, depth uint8, name string, secret bool, level int, left, nodes *int) {
	// A torn node may point back, and so be gone through again and again: nodes are counted.
	if *nodes--; at == 0 || level > maxTrie || *nodes < 0 || *left < 0 || w.add(at, k.indirect, shapeValue, 0, depth, name, secret) == nil {
		return
	}
	for i := range uint64(trieChildren) {
		if w.meter.tick(2 * costRead) {
			return
		}
		p, err := w.mem.word(at + k.children + 8*i)
		if err != nil || p == 0 {
			continue
		}
		b, err := w.mem.bytes(p, 1)
		if err != nil {
			continue
		}
		if b[0] == 0 {
			w.followNodes(k, p, depth, name, secret, level+1, left, nodes)
			continue
		}
		for p != 0 {
			if *left--; *left < 0 {
				w.hits.collection++
				return
			}
			if w.meter.tick(costRead) {
				return
			}
			if w.add(p, k.entry, shapeValue, 0, depth, name, secret) == nil {
				return
			}
			if p, err = w.mem.word(p + 8); err != nil {
				break
			}
		}
	}
}

func describeSyncMap(v View, d *Description) {
	m := v.Field("m")
	if m.Kind() != dump.Struct {
		return
	}
	k := trieOf(m.t)
	root := m.Field("root")
	if k == nil || !root.OK() || len(root.b) < 8 {
		return
	}
	n, cut := 0, false
	eachEntry(v, k, word(root.b, len(root.b)-8), 0, func(e View) {
		if !e.OK() {
			cut = true
			return
		}
		n++
		key, val := e.Field("key").Elem(), e.Field("value").Elem()
		d.Child(brief(key), val)
	}, &cut)
	d.Summary(count(int64(n), "entry", "entries") + pick(cut, ", not all were captured", ""))
}

// eachEntry calls f for each entry of a tree that was captured.
func eachEntry(v View, k *trie, at uint64, level int, f func(View), cut *bool) {
	if at == 0 || level > maxTrie {
		return
	}
	v.step()
	p := place{depth: v.p.depth, name: v.p.name}
	node := v.target(at, k.indirect, p)
	if !node.OK() || uint64(len(node.b)) < k.children+8*trieChildren {
		*cut = true
		return
	}
	for i := range trieChildren {
		p0 := word(node.b, int(k.children)+8*i)
		if p0 == 0 {
			continue
		}
		if v.x.w.objects.find(p0, k.indirect, shapeValue, 0) != nil {
			eachEntry(v, k, p0, level+1, f, cut)
			continue
		}
		for n := 0; p0 != 0 && n < 64; n++ {
			e := v.target(p0, k.entry, p)
			f(e)
			if !e.OK() {
				break
			}
			p0, _ = e.Field("overflow").Uint()
		}
	}
}
