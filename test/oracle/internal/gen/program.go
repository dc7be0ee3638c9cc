package gen

import (
	"fmt"
	"go/format"
	"math/rand/v2"
	"strings"
)

// Program is a program that fails, and what is in scope then.
type Program struct {
	Name string
	// Funcs are its functions on the stack, the one that calls the failing one first.
	Funcs []Func
}

// Func is a function with its variables.
type Func struct {
	Name string
	Vars map[string]string // the text of each, as verdict.Node.Full has it
}

// Source returns a Go package with a program for each of n seeds, and what is known
// of them.
func Source(first uint64, n int) ([]byte, []Program, error) {
	var b strings.Builder
	b.WriteString(head)
	var ps []Program
	for i := range n {
		m := &maker{r: rand.New(rand.NewPCG(first+uint64(i), 42)), name: fmt.Sprintf("r%d", first+uint64(i))}
		p, src := m.program()
		ps = append(ps, p)
		b.WriteString(m.decls.String())
		b.WriteString(src)
	}
	b.WriteString("// Register adds the programs to a corpus.\nfunc Register(add func(name string, run func())) {\n")
	for _, p := range ps {
		fmt.Fprintf(&b, "\tadd(%q, %sStart)\n", p.Name, p.Name)
	}
	b.WriteString("}\n")
	src, err := format.Source([]byte(b.String()))
	if err != nil {
		return []byte(b.String()), nil, err
	}
	return src, ps, nil
}

const head = `// Package random is made by package gen.
package random

var (
	never bool
	sink  any
)

//go:noinline
func opaque[T any](x T) T { return x }

func ptr[T any](x T) *T { return &x }

func twice(x int) int { return 2 * x }

// queue makes a channel whose ring begins at turn.
func queue[T any](size, turn int, xs ...T) chan T {
	c := make(chan T, size)
	if size > 0 {
		var zero T
		for range turn {
			c <- zero
			<-c
		}
	}
	for _, x := range xs {
		c <- x
	}
	return c
}

//go:noinline
func fail(why string) { panic(why) }

`

// program makes a chain of functions; each hands some of its variables to the next, and the last one
// fails.
func (m *maker) program() (Program, string) {
	p := Program{Name: m.name}
	var out strings.Builder
	depth := 1 + m.pick(4)
	type param struct {
		name string
		t    *typ
		v    value
	}
	var params []param // of the function that is being made
	for d := range depth {
		f := Func{Name: fmt.Sprintf("%sf%d", m.name, d), Vars: map[string]string{}}
		if m.pick(3) > 0 {
			out.WriteString("//go:noinline\n")
		}
		var sig []string
		var vars []param
		for _, x := range params {
			sig = append(sig, x.name+" "+x.t.src)
			vars = append(vars, x)
		}
		fmt.Fprintf(&out, "func %s(%s) {\n", f.Name, strings.Join(sig, ", "))
		for i := range 2 + m.pick(7) {
			t := m.typ(3)
			v := m.value(t, 3)
			x := param{fmt.Sprintf("v%d", i), t, v}
			src := v.src
			if m.pick(2) == 0 {
				src = "opaque(" + src + ")"
			}
			fmt.Fprintf(&out, "\t%s := %s\n", x.name, src)
			vars = append(vars, x)
			switch {
			case t.kind == kInt && t.bits == 64 && m.pick(2) == 0:
				// A variable that changes: its value is known all the same.
				n := m.pick(5)
				fmt.Fprintf(&out, "\t%s = %s\n\tfor range opaque(%d) {\n\t\t%s += 3\n\t}\n", x.name, t.conv("1"), n, x.name)
				vars[len(vars)-1].v.text = fmt.Sprint(1 + 3*n)
			case m.pick(4) == 0:
				fmt.Fprintf(&out, "\t%s := func() { sink = %s }\n\t%s()\n", "c"+x.name, x.name, "c"+x.name)
			case m.pick(5) == 0:
				fmt.Fprintf(&out, "\tsink = &%s\n", x.name) // it escapes
			}
		}
		for _, x := range vars {
			fmt.Fprintf(&out, "\t_ = %s\n", x.name)
			f.Vars[x.name] = x.v.text
		}
		params = nil
		if d < depth-1 {
			var args []string
			for _, x := range vars {
				if m.pick(2) == 0 && len(params) < 8 {
					args = append(args, x.name)
					params = append(params, param{fmt.Sprintf("p%d", len(params)), x.t, x.v})
				}
			}
			fmt.Fprintf(&out, "\t%sf%d(%s)\n", m.name, d+1, strings.Join(args, ", "))
		} else {
			out.WriteString(m.failure())
		}
		out.WriteString("\tif never {\n")
		for _, x := range vars {
			if m.pick(3) > 0 {
				fmt.Fprintf(&out, "\t\tsink = %s\n", x.name)
			}
		}
		out.WriteString("\t}\n}\n\n")
		p.Funcs = append([]Func{f}, p.Funcs...)
	}
	fmt.Fprintf(&out, "func %sStart() { %sf0() }\n\n", m.name, m.name)
	return p, out.String()
}

// failure writes the statement that fails.
func (m *maker) failure() string {
	switch m.pick(5) {
	case 0:
		return "\tsink = opaque([]int{1, 2})[opaque(5)]\n"
	case 1:
		return "\tsink = *opaque((*int)(nil))\n"
	case 2:
		return "\tsink = 5 / opaque(0)\n"
	}
	return fmt.Sprintf("\tfail(%q)\n", m.name)
}
