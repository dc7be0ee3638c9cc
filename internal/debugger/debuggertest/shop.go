package debuggertest

import (
	"errors"
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The types of the shop; in the dump they are of package
// github.com/acme/shop/store.

// Money is an amount with its currency.
type Money struct {
	Cents    int64
	Currency string
}

// Line is a line of an order.
type Line struct {
	SKU   string
	Count int
	Price *Money
}

// Base is embedded in orders.
type Base struct {
	ID      string
	Created time.Time
}

// Order is what the shop's customers make.
type Order struct {
	Base
	Lines  []Line
	Meta   map[string]string
	Parent *Order
	Token  string
}

// Stock is an interface of the shop.
type Stock interface{ Left(sku string) int }

// Shelf is the Stock in the dump.
type Shelf map[string]int

// Left implements Stock.
func (s Shelf) Left(sku string) int { return s[sku] }

// StockError is an error of the shop.
type StockError struct {
	SKU string
	Err error
}

func (e *StockError) Error() string { return e.SKU + ": " + e.Err.Error() }

// Unwrap returns what happened to the stock.
func (e *StockError) Unwrap() error { return e.Err }

const shopPath = "github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"

// Shop returns a dump of a shop that failed on a nil pointer in an inlined
// function, with variables in every state that a capture leaves them in. It is
// the same each time, but for addresses.
func Shop() *Builder {
	b := New()
	b.Rename = map[string]string{shopPath: "github.com/acme/shop/store"}
	const (
		storeGo = "/home/ci/shop/store/store.go"
		mainGo  = "/home/ci/shop/main.go"
	)
	order := &Order{
		Base:  Base{ID: "o-1001", Created: time.Date(2026, 11, 23, 3, 20, 0, 0, time.UTC)},
		Lines: []Line{{"apple", 3, &Money{199, "EUR"}}, {"pear", 1, nil}},
		Meta:  map[string]string{"channel": "web"},
	}
	order.Parent = order
	stock := Stock(Shelf{"apple": 7})
	root := errors.New("shelf is empty")
	err := fmt.Errorf("pricing order o-1001: %w", &StockError{"pear", root})
	line := &order.Lines[1]
	price := line.Price
	total, n, name := int64(597), 1, "outer"
	inner := "inner"
	var panicValue any = err
	var missing []string
	ids := []int{1, 2, 3}
	lost := 0
	registry := map[string]*Order{"o-1001": order}
	token := b.Value(&name)
	token.Bytes, token.Len = []byte("‹redacted:aws-access-key:len=20›"), 20
	token.Reason, token.Detail = dump.Redacted, "aws-access-key"
	far := b.Value(&order)
	far.Obj, far.Reason = 0, dump.DepthLimit

	state := func(v dump.Variable, s dump.VarState) dump.Variable {
		v.State = s
		return v
	}
	frames := []dump.Frame{
		{Func: "runtime.gopanic", File: "/usr/local/go/src/runtime/panic.go", Line: 860, PC: 0x43e1f4, CFA: 0xc000101000},
		{Func: "runtime.panicmem", File: "/usr/local/go/src/runtime/panic.go", Line: 336, PC: 0x43d7a8, CFA: 0xc000101100, Inlined: true},
		{Func: "runtime.sigpanic", File: "/usr/local/go/src/runtime/signal_unix.go", Line: 931, PC: 0x43d7a8, CFA: 0xc000101100},
		{
			Func: "github.com/acme/shop/store.(*Line).Total", File: storeGo, Line: 12, PC: 0x6f1c20, CFA: 0xc000101200,
			FuncLine: 11, Inlined: true, User: true,
			Vars: []dump.Variable{
				b.Var("l", dump.VarArg, &line),
				state(b.Var("price", dump.VarLocal, &price), dump.VarRecovered),
				b.Missing("~r0", dump.VarResult, &total, dump.OptimizedOut, ""),
			},
		},
		{
			Func: "github.com/acme/shop/store.(*Store).Price", File: storeGo, Line: 23, PC: 0x6f1c20, CFA: 0xc000101200,
			FuncLine: 18, User: true,
			Vars: []dump.Variable{
				b.Var("o", dump.VarArg, &order),
				b.Var("stock", dump.VarArg, &stock),
				b.Missing("ctx", dump.VarArg, &err, dump.UnavailableRegister, "rcx"),
				b.Var("err", dump.VarResult, &err),
				state(b.Var("total", dump.VarLocal, &total), dump.VarDead),
				b.Var("name", dump.VarLocal, &name),
				{Name: "name", Kind: dump.VarLocal, DeclLine: 21, Value: b.Value(&inner)},
				{Name: "token", Kind: dump.VarLocal, Value: token},
				{Name: "far", Kind: dump.VarLocal, Value: far},
				b.Missing("lost", dump.VarLocal, &lost, dump.Unreadable, "fault at 0x10"),
				b.Var("ids", dump.VarLocal, &ids),
				b.Var("missing", dump.VarLocal, &missing),
				b.Var("n", dump.VarCaptured, &n),
			},
		},
		{
			Func: "main.main.func1", File: mainGo, Line: 40, PC: 0x701000, CFA: 0xc000101400, FuncLine: 38, User: true,
			Missing: []dump.Missing{{What: "locals", Why: "the binary has no debug info for this function", Hint: "build without -ldflags=-w"}},
		},
		{Func: "runtime.goexit", File: "/usr/local/go/src/runtime/asm_amd64.s", Line: 1771, PC: 0x48a3e1, CFA: 0xc000101fe0},
	}
	// The engine hands the dynamic value over, not the interface that it is in.
	panicVar := dump.Variable{Name: "panic", Kind: dump.VarPanic, Value: b.Value(&panicValue).Elems[0]}
	watch := b.Var("registry", dump.VarWatch, &registry)
	for _, o := range b.Objects { // the watched map was read late
		if b.Types[o.Value.Type-1].Kind == dump.Map && b.Types[o.Value.Type-1].Name == "map[string]*github.com/acme/shop/store.Order" {
			o.Late = true
		}
	}
	b.Goroutines = []*dump.Goroutine{
		{
			ID: 18, ParentID: 1, Status: "running", Failing: true, Frames: frames,
			CreatedBy: dump.Location{Func: "main.main", File: mainGo, Line: 38},
			Labels:    []dump.KeyValue{{Key: "route", Value: "/pay"}, {Key: "tenant", Value: "acme"}},
			Values:    []dump.Variable{panicVar, watch},
		},
		{
			ID: 1, Status: "waiting", WaitReason: "chan receive", WaitSince: 3 * time.Second,
			Waits: []dump.Wait{{Op: "receive", Addr: 0x77000, Type: "chan int", Len: 0, Cap: 4}}, Locked: true,
			TraceID: dump.TraceID{15: 7}, SpanID: dump.SpanID{7: 9},
			Frames: []dump.Frame{
				{Func: "runtime.gopark", File: "/usr/local/go/src/runtime/proc.go", Line: 463, PC: 0x484b11},
				{Func: "runtime.chanrecv1", File: "/usr/local/go/src/runtime/chan.go", Line: 509, PC: 0x416b50},
				{
					Func: "main.main", File: mainGo, Line: 44, PC: 0x700f00, FuncLine: 30, User: true,
					Vars: []dump.Variable{b.Var("ids", dump.VarLocal, &ids)},
				},
				{Func: "runtime.main", File: "/usr/local/go/src/runtime/proc.go", Line: 290, PC: 0x452707},
				{Func: "runtime.goexit", File: "/usr/local/go/src/runtime/asm_amd64.s", Line: 1771, PC: 0x48a3e1},
			},
		},
		{
			ID: 7, ParentID: 1, Status: "waiting", WaitReason: "GC worker (idle)", System: true,
			CreatedBy: dump.Location{Func: "runtime.gcBgMarkStartWorkers", File: "/usr/local/go/src/runtime/mgc.go", Line: 1373},
			Frames: []dump.Frame{
				{Func: "runtime.gopark", File: "/usr/local/go/src/runtime/proc.go", Line: 463, PC: 0x484b11},
				{Func: "runtime.gcBgMarkWorker", File: "/usr/local/go/src/runtime/mgc.go", Line: 1463, PC: 0x421c31},
				{Func: "runtime.goexit", File: "/usr/local/go/src/runtime/asm_amd64.s", Line: 1771, PC: 0x48a3e1},
			},
		},
	}
	b.Sources = []*dump.Source{
		{File: storeGo, Blocks: []dump.SourceBlock{{First: 9, Lines: []string{
			"// Total is what the line costs.",
			"//",
			"func (l *Line) Total() int64 {",
			"\treturn l.Price.Cents * int64(l.Count) // no price, no total",
			"}",
			"",
			"// Price adds up an order.",
			"//",
			"// It is not called twice.",
			"func (s *Store) Price(ctx context.Context, o *Order, stock Stock) (err error) {",
			"\tname, n := \"outer\", 1",
			"\tfor _, l := range o.Lines {",
			"\t\tname := \"inner\"",
			"\t\ttotal +=",
			"\t\t\tl.Total()",
			"\t}",
		}}}},
		{File: mainGo, Blocks: []dump.SourceBlock{{First: 38, Lines: []string{"\tgo func() {", "\t\tdefer span.End()", "\t\ts.Price(ctx, o, stock)", "\t}()"}}}},
	}
	id, _ := dump.ParseID("019ab0f3-4c00-7000-8000-000000000001")
	trace, _ := dump.ParseTraceID("4bf92f3577b34da6a3ce929d0e0e4736")
	span, _ := dump.ParseSpanID("00f067aa0ba902b7")
	b.Header = dump.Header{
		Identity: dump.Identity{ID: id, TraceID: trace, SpanID: span, Service: "checkout"},
		Time:     time.Date(2026, 11, 23, 3, 20, 0, 123456789, time.UTC),
		Trigger:  dump.TriggerPanic,
		Reason: []dump.ErrorInfo{
			{Type: "*fmt.wrapError", Message: "pricing order o-1001: pear: shelf is empty", Parent: -1, Panic: true},
			{Type: "*github.com/acme/shop/store.StockError", Message: "pear: shelf is empty", Parent: 0},
			{Type: "*errors.errorString", Message: "shelf is empty", Parent: 1},
		},
		SpanName: "POST /pay",
		Resource: []dump.KeyValue{{Key: "deployment.environment", Value: "staging"}},
		Host:     "web-1", PID: 4711, GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64",
		Module:     dump.Module{Path: "github.com/acme/shop", Version: "v1.2.3"},
		VCS:        dump.VCS{Revision: "0123456789abcdef", Modified: true},
		Failing:    dump.Location{Func: frames[3].Func, File: storeGo, Line: 12, Goroutine: 18, Frame: 3},
		Budgets:    []dump.Budget{{Name: "depth", Unit: "levels", Limit: 10, Spent: 10, Hits: 1}, {Name: "pause", Unit: "ns", Limit: 50_000_000, Spent: 1_500_000}},
		Redactions: []dump.RuleCount{{Rule: "aws-access-key", Count: 1}},
		Counts:     dump.Counts{Goroutines: 3, Frames: 15, Variables: 17, Objects: len(b.Objects), Bytes: 4096},
	}
	return b
}
