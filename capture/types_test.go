package capture_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// described follows pointers, interfaces and boxes to the value that has a summary.
func described(t *testing.T, r *dump.Reader, v *dump.Value) *dump.Value {
	t.Helper()
	for range 8 {
		if v.Summary != "" {
			return v
		}
		res, err := r.Resolve(v)
		if err != nil {
			t.Fatal(err)
		}
		switch typ := r.Type(res.Type); {
		case res != v:
			v = res
		case typ == nil:
			return v
		case typ.Kind == dump.Interface && len(res.Elems) == 1:
			v = &res.Elems[0]
		case typ.Kind == dump.Pointer && res.Obj != 0:
			o, err := r.Object(res.Obj)
			if err != nil {
				t.Fatal(err)
			}
			v = &o.Value
		default:
			return v
		}
	}
	return v
}

// TestTypeSupports compares what the built-in supports say of values with what the
// methods of the same values say in the program that holds them.
func TestTypeSupports(t *testing.T) {
	for _, b := range builds {
		if b.name != "default" && b.name != "noopt" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			if testing.Short() && b.name != "default" {
				t.Skip("-short: the default build only")
			}
			dir := t.TempDir()
			bin := filepath.Join(dir, "target")
			goBuild(t, bin, "./testdata/targets/types", b.flags...)
			cmd := targetCommand(bin, dir)
			cmd.Env = append(os.Environ(), "TZ=Europe/Vienna")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("target: %v\n%s", err, out)
			}
			checkTruths(t, dir)
			checkLocals(t, filepath.Join(dir, "locals"+dump.Extension), b.whole)
		})
	}
}

func checkTruths(t *testing.T, dir string) {
	r, err := dump.Open(filepath.Join(dir, "types"+dump.Extension))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Header().Missing {
		t.Errorf("missing: %+v", m)
	}
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*dump.Value{}
	for i := range g.Values {
		got[g.Values[i].Name] = &g.Values[i].Value
	}
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truths []struct {
		Name, Summary string
		Prefix        bool
		Children      map[string]string
	}
	if err := json.Unmarshal(b, &truths); err != nil {
		t.Fatal(err)
	}
	if len(truths) < 1500 {
		t.Errorf("there are only %d values", len(truths))
	}
	for _, want := range truths {
		v := got[want.Name]
		if v == nil {
			t.Errorf("%s is not in the dump", want.Name)
			continue
		}
		v = described(t, r, v)
		if s := v.Summary; s != want.Summary && !(want.Prefix && strings.HasPrefix(s, want.Summary)) {
			t.Errorf("%s is described as\n  %q, want\n  %q", want.Name, s, want.Summary)
		}
		kids := map[string]string{}
		for i := range v.Children {
			c := &v.Children[i]
			kids[c.Name] = render(r, &c.Value)
			if typ := r.Type(c.Value.Type); typ != nil && typ.Kind == dump.String && c.Value.Reason == dump.Whole && !strings.HasPrefix(want.Children[c.Name], `"v"`) {
				kids[c.Name] = string(c.Value.Bytes)
			}
		}
		for name, w := range want.Children {
			if g := kids[name]; g != w && g != strings.Trim(w, `"`) {
				t.Errorf("%s: child %s is %q, want %q (of %q)", want.Name, name, g, w, kids)
			}
		}
	}
}

func checkLocals(t *testing.T, path string, whole bool) {
	r, err := dump.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"when": "2026-11-30T04:00:00.000000005+01:00 CET (CET)", "price": "9.99 CHF", "mu": "locked", "ip": "192.0.2.1", "n": "-1099511627776",
		"ctx": "not cancelled", "v": "*main.pointed",
	}
	for i := range g.Frames {
		f := &g.Frames[i]
		if f.Func != "main.locals" {
			continue
		}
		for j := range f.Vars {
			v := &f.Vars[j]
			w, ok := want[v.Name]
			if !ok || v.State == dump.VarMissing && !whole {
				continue
			}
			delete(want, v.Name)
			if d := described(t, r, &v.Value); d.Summary != w && (whole || d.Reason == dump.Whole && v.State == dump.VarLive) {
				t.Errorf("%s is described as %q, want %q (%s %+v)", v.Name, d.Summary, w, v.StateName(), d)
			}
		}
		if whole && len(want) > 0 {
			t.Errorf("not there: %v", want)
		}
		return
	}
	t.Error("there is no frame of main.locals")
}
