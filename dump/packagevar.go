package dump

import (
	"fmt"
	"iter"
)

// PackageVar is a variable of a package: one that belongs to the program rather
// than to a call.
type PackageVar struct {
	Package string // import path; "main" for that of the program's main package
	Name    string
	State   VarState // VarLive, or VarMissing if there is no value
	Late    bool     // read after the failing goroutine had gone on
	Value   Value
}

// PackageVar adds a package variable. One that is larger than a section can hold
// is left out, with a Reason.
func (w *Writer) PackageVar(v *PackageVar) error {
	if w.err != nil {
		return w.err
	}
	c := &w.vars
	at := c.begin()
	c.packageVar(v)
	if !w.commit(c, at) {
		at = c.begin()
		c.packageVar(&PackageVar{Package: v.Package, Name: v.Name, State: VarMissing, Late: v.Late, Value: Value{
			Type: v.Value.Type, Addr: v.Value.Addr, Reason: ByteBudget, Detail: "larger than a dump file can hold of one variable",
		}})
		w.commit(c, at)
	}
	return w.err
}

// NumPackageVars returns the number of package variables, as the file declares
// it. Do not allocate by it.
func (r *Reader) NumPackageVars() int { return r.total(r.vars) }

// PackageVars goes through the package variables, which are in the order of
// package and name if the engine has written them. An error stands for those of one section
// that cannot be read; the iteration goes on behind it.
func (r *Reader) PackageVars() iter.Seq2[*PackageVar, error] {
	return numbered(r, r.vars, (*decoder).packageVar, func(*PackageVar, uint64) {})
}

// PackageVarAt returns the package variable of that number, from 0 to below
// [Reader.NumPackageVars], as PackageVars would. The error is ErrNotFound if there is none.
func (r *Reader) PackageVarAt(i int) (*PackageVar, error) {
	sec, index, ok := r.find(r.vars, uint64(i)+1)
	if !ok || i < 0 {
		return nil, r.notFound("package variable %d", i)
	}
	v := new(PackageVar)
	if err := r.record(sec, index, func(d *decoder, b []byte) error { return d.packageVar(b, v) }); err != nil {
		return nil, fmt.Errorf("package variable %d: %w", i, err)
	}
	return v, nil
}

func (e *encoder) packageVar(v *PackageVar) {
	e.string(1, v.Package)
	e.string(2, v.Name)
	e.uint(3, uint64(v.State))
	e.bool(4, v.Late)
	at := e.open(5)
	e.value(&v.Value, 1)
	e.closeSingle(at)
}

func (d *decoder) packageVar(b []byte, v *PackageVar) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			v.Package = d.string(f.v)
		case 2<<3 | wireBytes:
			v.Name = d.string(f.v)
		case 3<<3 | wireVarint:
			v.State = VarState(small(f.u))
		case 4<<3 | wireVarint:
			v.Late = f.u != 0
		case 5<<3 | wireBytes:
			if err := d.value(f.v, &v.Value, 1); err != nil {
				return err
			}
		}
	}
	return f.err
}
