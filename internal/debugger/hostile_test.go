package debugger_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

// dirty reports whether a terminal might act on s.
func dirty(s string) bool {
	if !utf8.ValidString(s) {
		return true
	}
	return strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	})
}

// explore does what a user might do in a session, everywhere.
func explore(t testing.TB, s *debugger.Session) {
	t.Helper()
	check := func(text string) {
		if dirty(text) {
			t.Errorf("control characters get out: %q", text)
		}
	}
	fail := func(err error) {
		if err != nil {
			check(err.Error())
		}
	}
	for _, r := range s.Reasons() {
		check(r.Message + r.Type)
	}
	list, err := s.Goroutines()
	fail(err)
	for _, g := range list[:min(len(list), 5)] {
		sc, err := s.AtGoroutine(g.ID)
		fail(err)
		for i := range min(len(sc.Frames()), 8) {
			if sc, err = sc.AtFrame(i); err != nil {
				t.Fatal(err)
			}
			exploreFrame(sc, check, fail)
		}
		for _, w := range sc.Watches() {
			exploreValue(w.Value, 2, check)
		}
	}
	_, err = s.Scope().WhatIs("store.Order")
	fail(err)
	_, err = s.Scope().Find("Price")
	fail(err)
	at := s.Scope().Location()
	lines, err := s.Lines(at.File, at.Line-5, at.Line+5)
	fail(err)
	for _, l := range lines {
		check(l.Text)
	}
}

func exploreFrame(sc debugger.Scope, check func(string), fail func(error)) {
	for _, m := range sc.Missing() {
		check(m)
	}
	vars := sc.Variables()
	for _, v := range vars[:min(len(vars), 20)] {
		check(v.Name)
		exploreValue(v.Value, 2, check)
		for _, suffix := range []string{"", ".ID", ".Lines", ".Lines[0].Price.Cents", "[0]", "[1:]", `["channel"]`, " == " + v.Name, " + 1", ".(data)"} {
			for _, prefix := range []string{"", "*", "&", "-", "len("} {
				expr := prefix + v.Name + suffix
				if prefix == "len(" {
					expr += ")"
				}
				x, err := sc.Eval(expr)
				fail(err)
				if err == nil {
					check(x.Short(60))
				}
			}
			_, list := sc.Complete(v.Name + suffix + ".")
			for _, l := range list {
				check(l)
			}
		}
		_, list := sc.Complete(v.Name + `["`)
		for _, l := range list {
			check(l)
		}
	}
}

func exploreValue(v *debugger.Value, depth int, check func(string)) {
	check(v.Name() + v.TypeName() + v.Missing() + v.Reason() + v.Note())
	check(v.Format(debugger.DefaultFormat()))
	check(v.Short(40))
	if depth == 0 {
		return
	}
	for _, c := range v.Children(0, 5) {
		check(c.Name)
		exploreValue(c.Value, depth-1, check)
	}
}

// TestHostile opens dumps that no capture would write.
func TestHostile(t *testing.T) {
	word := func(b *debuggertest.Builder, name string) *dump.Value {
		for i := range b.Goroutines[0].Frames {
			for j := range b.Goroutines[0].Frames[i].Vars {
				if v := &b.Goroutines[0].Frames[i].Vars[j]; v.Name == name {
					return &v.Value
				}
			}
		}
		t.Fatalf("no variable %s", name)
		return nil
	}
	tests := []struct {
		name string
		do   func(*debuggertest.Builder)
		expr string
		want string
	}{
		{"unknown type", func(b *debuggertest.Builder) { word(b, "ids").Type = 9999 }, "ids[0]", "error: ids: unreadable: its type (number 9999) is not in the dump"},
		{"unknown object", func(b *debuggertest.Builder) { word(b, "ids").Obj = 9999 }, "ids", "[]int len: 3, cap: 3, [...] (unreadable: object 9999: not in the dump)"},
		{"elements of another object", func(b *debuggertest.Builder) { word(b, "ids").Obj = word(b, "o").Obj }, "ids[0]", "error: ids[0]: unreadable: its elements are of type github.com/acme/shop/store.Order"},
		{"endless length", func(b *debuggertest.Builder) { v := word(b, "ids"); v.Len, v.Cap = math.MaxInt64, math.MaxInt64 }, "ids[1:]", "[]int len: 9223372036854775806, cap: 9223372036854775806, [2,3,...+9223372036854775804 more (not captured)]"},
		{"negative length", func(b *debuggertest.Builder) { v := word(b, "ids"); v.Len, v.Cap = -5, -7 }, "ids", "[]int len: 0, cap: 0, []"},
		{"struct without fields", func(b *debuggertest.Builder) {
			for _, o := range b.Objects {
				if o.ID == word(b, "o").Obj {
					o.Value.Elems = nil
				}
			}
		}, "o.ID", "error: o.Base: not captured"},
		{"pointer to itself", func(b *debuggertest.Builder) {
			for _, o := range b.Objects {
				if o.ID == word(b, "o").Obj {
					o.Value = dump.Value{Type: word(b, "o").Type, Ptr: o.Addr, Obj: o.ID}
				}
			}
		}, "o.ID", "error: o: unreadable: not the struct that its type says"},
		{"box in itself", func(b *debuggertest.Builder) {
			id := dump.ObjectID(len(b.Objects) + 1)
			v := word(b, "name")
			b.Objects = append(b.Objects, &dump.Object{ID: id, Value: dump.Value{Type: v.Type, Obj: id}})
			*word(b, "token") = dump.Value{Type: v.Type, Obj: id}
		}, "token", "(unreadable it refers to itself)"},
		{"recursive slice", func(b *debuggertest.Builder) {
			// type T []T, with itself as its element, is beyond the limits of printing.
			t1, t2 := dump.TypeID(len(b.Types)+1), dump.TypeID(len(b.Types)+2)
			b.Types = append(b.Types, &dump.Type{ID: t1, Name: "T", Kind: dump.Slice, Elem: t1}, &dump.Type{ID: t2, Name: "[1]T", Kind: dump.Array, Len: 1, Elem: t1})
			id := dump.ObjectID(len(b.Objects) + 1)
			self := dump.Value{Type: t1, Ptr: 16, Len: 1, Cap: 1, Obj: id}
			b.Objects = append(b.Objects, &dump.Object{ID: id, Value: dump.Value{Type: t2, Len: 1, Elems: []dump.Value{self}}})
			*word(b, "token") = self
		}, "len(token[0][0][0])", "1"},
		{"wrong kind", func(b *debuggertest.Builder) { b.Types[word(b, "ids").Type-1].Kind = 77 }, "ids", "(unknown kind 77)"},
		{"names", func(b *debuggertest.Builder) {
			b.Types[word(b, "o").Type-1].Name = "*\x1b]0;owned\x07T\u202e"
			b.Goroutines[0].Frames[4].Func = "\x1b[2Jf"
		}, "&o", `(**\x1b]0;owned\aT\u202e)(0xADDR)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := debuggertest.Shop()
			tt.do(b)
			s, err := debugger.New(b.Reader(t))
			if err != nil {
				t.Fatal(err)
			}
			sc, err := s.Home().AtFrame(4)
			if err != nil {
				t.Fatal(err)
			}
			if got := eval(sc, tt.expr); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.expr, got, tt.want)
			}
			explore(t, s)
		})
	}
}

func TestNoGoroutine(t *testing.T) {
	b := debuggertest.New()
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	sc := s.Scope()
	if got := eval(sc, "1+2"); got != "3" {
		t.Errorf("1+2 = %s", got)
	}
	if got, want := eval(sc, "x"), "error: could not find symbol value for x"; got != want {
		t.Errorf("x: %s, want %s", got, want)
	}
	if _, err := sc.AtFrame(0); err == nil {
		t.Error("AtFrame(0) did not fail")
	}
	if _, err := sc.Find("12"); err == nil {
		t.Error("Find did not fail")
	}
	if _, err := s.AtGoroutine(1); err == nil {
		t.Error("AtGoroutine(1) did not fail")
	}
	explore(t, s)
}

func FuzzEval(f *testing.F) {
	for _, e := range delveExprs {
		f.Add(e)
	}
	f.Add("a1[")
	f.Add("1<<512<<512<<512<<512<<512<<512<<512<<512<<512")
	f.Add(`m5["key"]+m5["key"]`)
	f.Add("~r0")
	f.Add("iface1.(map[string]struct{}).(func(int, ...any) (a, b error))")
	sc := fixtureSession(f).Scope()
	f.Fuzz(func(t *testing.T, expr string) {
		v, err := sc.Eval(expr)
		if err != nil {
			if dirty(err.Error()) {
				t.Errorf("%q: the error has control characters: %q", expr, err)
			}
		} else if s := v.Format(debugger.DefaultFormat()); dirty(s) {
			t.Errorf("%q: the value has control characters: %q", expr, s)
		} else {
			v.Short(20)
			v.Children(0, 3)
		}
		if _, err := sc.WhatIs(expr); err != nil && dirty(err.Error()) {
			t.Errorf("whatis %q: the error has control characters: %q", expr, err)
		}
		if head, list := sc.Complete(expr); !strings.HasPrefix(expr, head) {
			t.Errorf("Complete(%q) keeps %q", expr, head)
		} else {
			for _, l := range list {
				if dirty(l) {
					t.Errorf("Complete(%q) proposes %q", expr, l)
				}
			}
		}
		if _, err := sc.Find(expr); err != nil && dirty(err.Error()) {
			t.Errorf("Find(%q): the error has control characters: %q", expr, err)
		}
	})
}

// FuzzSession changes what is in a dump, then uses it. Each four bytes of data
// are one change; with raw set they change the file's bytes instead.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, false)
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, false)
	f.Add([]byte{40, 0, 9, 255}, true)
	f.Fuzz(func(t *testing.T, data []byte, raw bool) {
		b := debuggertest.Shop()
		if !raw {
			mutate(b, data)
		}
		file, err := b.Bytes()
		if err != nil {
			return // the writer refused
		}
		if raw {
			for ; len(data) >= 4; data = data[4:] {
				file[int(binary.LittleEndian.Uint16(data))%len(file)] ^= data[2]
				if data[3] == 255 {
					file = file[:1+int(binary.LittleEndian.Uint16(data))%len(file)]
				}
			}
		}
		r, err := dump.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		s, err := debugger.New(r)
		if err != nil {
			return
		}
		explore(t, s)
	})
}

// mutate makes one change to the dump for each four bytes of data.
func mutate(b *debuggertest.Builder, data []byte) {
	var values []*dump.Value
	var collect func(v *dump.Value)
	collect = func(v *dump.Value) {
		values = append(values, v)
		for i := range v.Elems {
			collect(&v.Elems[i])
		}
	}
	for _, o := range b.Objects {
		collect(&o.Value)
	}
	for _, g := range b.Goroutines {
		for i := range g.Frames {
			for j := range g.Frames[i].Vars {
				collect(&g.Frames[i].Vars[j].Value)
			}
		}
		for i := range g.Values {
			collect(&g.Values[i].Value)
		}
	}
	words := []uint64{0, 1, 2, 3, 7, 1 << 31, 1 << 62, math.MaxInt64, math.MaxUint64}
	for ; len(data) >= 4; data = data[4:] {
		v := values[(int(data[0])|int(data[3]&3)<<8)%len(values)]
		t := b.Types[int(data[0])%len(b.Types)]
		n := words[int(data[2])%len(words)]
		switch data[1] % 16 {
		case 0:
			v.Type = dump.TypeID(data[2])
		case 1:
			v.Obj = dump.ObjectID(data[2])
		case 2:
			v.Len = int64(n)
		case 3:
			v.Cap = int64(n)
		case 4:
			v.Ptr = n
		case 5:
			v.Num, v.Num2 = n, n
		case 6:
			v.Elems = v.Elems[:min(len(v.Elems), int(data[2])%4)]
		case 7:
			v.Elems = append(v.Elems, dump.Value{Type: dump.TypeID(data[2]), Obj: dump.ObjectID(data[3])})
		case 8:
			v.Reason = dump.Reason(data[2] % 14)
			v.Detail = "\x1b[31m"
		case 9:
			v.Bytes = []byte("\x1b]0;x\x07\xff\u202e")
		case 10:
			v.Raw = bytes.Repeat([]byte{data[2]}, int(data[3]))
		case 11:
			t.Kind = dump.Kind(data[2] % 30)
		case 12:
			t.Elem, t.Key = dump.TypeID(data[2]), dump.TypeID(data[3])
		case 13:
			t.Len, t.Size = int64(n), n
		case 14:
			t.Fields = append(t.Fields, dump.Field{Name: "X\x1b", Type: dump.TypeID(data[2]), Offset: n, Embedded: data[3]&1 == 1})
		case 15:
			t.Name = "time.Time"
		}
	}
}
