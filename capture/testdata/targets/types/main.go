// Command types holds values of types that a dump describes, captures itself, and writes the
// dump and what the methods of these values say to the folder that is its argument.
// types_test.go compares the two.
package main

import (
	"bytes"
	"container/list"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// truth is what is known of one value.
type truth struct {
	Name     string            `json:"name"`
	Summary  string            `json:"summary"`
	Prefix   bool              `json:"prefix"` // the summary may go on
	Children map[string]string `json:"children"`
}

var (
	truths  []truth
	watches []capture.Watch
	rnd     = rand.New(rand.NewPCG(4, 2))
)

// add notes a value and what its summary should be.
func add(kind string, v any, summary string) *truth {
	name := fmt.Sprintf("%s %d", kind, len(truths))
	truths = append(truths, truth{Name: name, Summary: summary})
	watches = append(watches, capture.Watch{Name: name, Value: v})
	return &truths[len(truths)-1]
}

func (t *truth) child(name, want string) *truth {
	if t.Children == nil {
		t.Children = map[string]string{}
	}
	t.Children[name] = want
	return t
}

type (
	UUID   [16]byte
	Shade  int
	amount struct {
		cents    int64
		currency string
	}
	userKey   struct{}
	tenantKey int
	// wrapped is a context as programs make them.
	wrapped struct {
		context.Context
		name string
	}
	labels  struct{ m sync.Map }
	pointed struct{ N int }
)

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func zones() []*time.Location {
	locs := []*time.Location{time.UTC, nil, time.Local, time.FixedZone("X", 3600*5+1800), time.FixedZone("", -7200), time.FixedZone("odd", 4711)}
	for _, n := range []string{"Europe/Vienna", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca", "Europe/Dublin", "Antarctica/Troll", "Etc/GMT+7", "America/Sao_Paulo", "Australia/Lord_Howe"} {
		if l, err := time.LoadLocation(n); err == nil {
			locs = append(locs, l)
		}
	}
	if len(locs) < 10 {
		panic("there is no time zone database")
	}
	return locs
}

// timeText is what is wanted for a time, from the methods of the time itself.
func timeText(t time.Time) string {
	s := t.Format(time.RFC3339Nano)
	loc := t.Location()
	if loc != time.UTC {
		if z, _ := t.Zone(); z != "" && strings.Trim(z[:1], "+-0123456789") != "" {
			s += " " + z
		}
		if n := loc.String(); n != "" && n != "UTC" {
			s += " (" + n + ")"
		}
	}
	if i := strings.Index(t.String(), " m="); i >= 0 {
		s += t.String()[i:]
	}
	return s
}

func times() {
	_ = time.Now().Local().String() // loads time.Local
	locs := zones()
	add("time.Time", time.Time{}, timeText(time.Time{}))
	for i := range 400 {
		var t time.Time
		switch i % 4 {
		case 0: // years 1880 to 2300
			t = time.Unix(rnd.Int64N(420*365*86400)-90*365*86400, rnd.Int64N(1e9))
		case 1:
			t = time.Now().Add(time.Duration(rnd.Int64N(1<<60)) - 1<<59)
		case 2: // about now, with a monotonic reading
			t = time.Now().Add(time.Duration(rnd.Int64N(1 << 40)))
		default: // years far away
			t = time.Unix(rnd.Int64N(1<<38)-1<<37, 0)
		}
		loc := locs[rnd.IntN(len(locs))]
		if i%4 != 2 && loc != nil {
			t = t.In(loc)
		} else if loc == nil {
			t = t.UTC()
		}
		if i%2 == 0 {
			add("time.Time", t, timeText(t))
		} else {
			add("*time.Time", &t, timeText(t))
		}
	}
	for range 60 {
		d := time.Duration(rnd.Int64() >> rnd.IntN(63))
		add("time.Duration", d, d.String())
	}
	add("time.Duration", time.Duration(math.MinInt64), time.Duration(math.MinInt64).String())
	add("time.Month", time.November, "November")
	add("time.Weekday", time.Friday, "Friday")
	add("time.Location", locs[6], locs[6].String())
}

func numbers() {
	for i := range 120 {
		n := new(big.Int).Rand(randSource(), new(big.Int).Lsh(big.NewInt(1), uint(1+rnd.IntN(600))))
		if i%3 == 0 {
			n.Neg(n)
		}
		add("*big.Int", n, n.String())
		m := new(big.Int).Rand(randSource(), new(big.Int).Lsh(big.NewInt(1), uint(1+rnd.IntN(100))))
		m.Add(m, big.NewInt(1))
		r := new(big.Rat).SetFrac(n, m)
		add("*big.Rat", r, r.String())
		f := new(big.Float).SetPrec(uint(1 + rnd.IntN(300))).SetInt(n)
		f.SetMantExp(f, rnd.IntN(2000)-1000)
		add("*big.Float", f, f.String())
	}
	add("big.Int", *big.NewInt(-5), "-5")
	add("*big.Int", new(big.Int), "0")
	add("*big.Rat", new(big.Rat), "0/1")
	add("*big.Float", new(big.Float), "0")
	add("*big.Float", new(big.Float).Neg(new(big.Float)), "-0")
	add("*big.Float", new(big.Float).SetInf(true), "-Inf")
	add("*big.Float", new(big.Float).SetInf(false), "+Inf")
	add("*big.Float", big.NewFloat(0.1), big.NewFloat(0.1).String())
	huge := new(big.Float).SetMantExp(big.NewFloat(1.5), math.MaxInt32-1)
	add("*big.Float", huge, huge.Text('p', 0))
}

func networks() {
	bits := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.UintN(256))
		}
		return b
	}
	for i := range 80 {
		a4, a6 := netip.AddrFrom4([4]byte(bits(4))), netip.AddrFrom16([16]byte(bits(16)))
		switch i % 4 {
		case 0:
			a6 = a6.WithZone("eth" + strconv.Itoa(i))
		case 1:
			a6 = netip.AddrFrom16(a4.As16())
		case 2:
			b := a6.As16()
			clear(b[2:12])
			a6 = netip.AddrFrom16(b)
		}
		for _, a := range []netip.Addr{a4, a6} {
			add("netip.Addr", a, a.String())
			ap := netip.AddrPortFrom(a, uint16(rnd.UintN(1<<16)))
			add("netip.AddrPort", ap, ap.String())
			p := netip.PrefixFrom(a, rnd.IntN(a.BitLen()+1))
			add("netip.Prefix", p, p.String())
			ip := net.IP(a.AsSlice())
			add("net.IP", ip, ip.String())
			n := &net.IPNet{IP: ip, Mask: net.CIDRMask(rnd.IntN(a.BitLen()+1), a.BitLen())}
			add("*net.IPNet", n, n.IP.String()+"/"+strconv.Itoa(ones(n.Mask)))
			t := &net.TCPAddr{IP: ip, Port: rnd.IntN(1 << 16), Zone: a.Zone()}
			add("*net.TCPAddr", t, t.String())
		}
		u := UUID(bits(16))
		add("UUID", u, u.String())
	}
	for _, a := range []netip.Addr{{}, netip.IPv6Unspecified(), netip.IPv4Unspecified(), netip.IPv6LinkLocalAllNodes()} {
		add("netip.Addr", a, a.String())
	}
	add("netip.Prefix", netip.Prefix{}, netip.Prefix{}.String())
	add("netip.AddrPort", netip.AddrPort{}, netip.AddrPort{}.String())
	add("net.IP", net.IP(nil), "<nil>")
	add("net.IP", net.IP{1, 2, 3}, net.IP{1, 2, 3}.String())
	add("net.IPMask", net.IPMask{255, 0, 255, 0}, net.IPMask{255, 0, 255, 0}.String())
	add("*net.UDPAddr", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 53}, "192.0.2.7:53")
	for _, s := range []string{
		"https://example.com/a%20b/c?q=1&r=x%20y#top", "http://ada@example.com:8080/", "mailto:ada@example.com", "/only/path", "//host/p",
		"https://example.com/a%2Fb", "https://[2001:db8::1]:443/x?", "ws://h", "file:///etc/hosts", "http://ex.com/%C3%A4?%C3%A4#%C3%A4",
	} {
		u, err := url.Parse(s)
		if err != nil {
			panic(err)
		}
		add("*url.URL", u, u.Redacted())
	}
}

func ones(m net.IPMask) int { n, _ := m.Size(); return n }

// blocked waits until n goroutines wait in a state that the runtime calls so.
func blocked(why string, n int) {
	buf := make([]byte, 1<<20)
	for {
		if got := strings.Count(string(buf[:runtime.Stack(buf, true)]), "["+why); got >= n {
			return
		}
		runtime.Gosched()
	}
}

func syncs() (end func()) {
	free, held := new(sync.Mutex), new(sync.Mutex)
	held.Lock()
	add("*sync.Mutex", free, "unlocked")
	add("*sync.Mutex", held, "locked")
	waited := new(sync.Mutex)
	waited.Lock()
	for range 3 {
		go func() { waited.Lock(); waited.Unlock() }()
	}
	blocked("sync.Mutex.Lock", 3)
	add("*sync.Mutex", waited, "locked, 3 wait").Prefix = true
	add("*sync.RWMutex", new(sync.RWMutex), "unlocked")
	read, write, between := new(sync.RWMutex), new(sync.RWMutex), new(sync.RWMutex)
	read.RLock()
	read.RLock()
	add("*sync.RWMutex", read, "locked by 2 readers")
	write.Lock()
	for range 2 {
		go func() { write.RLock(); write.RUnlock() }()
	}
	blocked("sync.RWMutex.RLock", 2)
	add("*sync.RWMutex", write, "locked for writing, 2 readers wait")
	between.RLock()
	go func() { between.Lock(); between.Unlock() }()
	blocked("sync.RWMutex.Lock", 1)
	go func() { between.RLock(); between.RUnlock() }()
	blocked("sync.RWMutex.RLock", 3)
	add("*sync.RWMutex", between, "locked by 1 reader, a writer waits, 1 reader waits")
	var wg sync.WaitGroup
	wg.Add(5)
	go wg.Wait()
	blocked("sync.WaitGroup.Wait", 1)
	add("*sync.WaitGroup", &wg, "counter 5, 1 waits")
	add("*sync.WaitGroup", new(sync.WaitGroup), "counter 0")
	done := new(sync.Once)
	done.Do(func() {})
	add("*sync.Once", done, "done")
	add("*sync.Once", new(sync.Once), "not done")
	cond := sync.NewCond(new(sync.Mutex))
	stop := false
	for range 2 {
		go func() {
			cond.L.Lock()
			for !stop {
				cond.Wait()
			}
			cond.L.Unlock()
		}()
	}
	blocked("sync.Cond.Wait", 2)
	add("*sync.Cond", cond, "2 goroutines wait")

	m := new(sync.Map)
	t := add("*sync.Map", m, "40 entries")
	for i := range 40 {
		m.Store("key "+strconv.Itoa(i), i*i)
		t.child(strconv.Quote("key "+strconv.Itoa(i)), strconv.Itoa(i*i))
	}
	m.Store("gone", 1)
	m.Delete("gone")
	add("*sync.Map", new(sync.Map), "0 entries")
	in := &labels{}
	in.m.Store(Shade(7), "seven")
	add("*sync.Map", &in.m, "1 entry").child("7", `"seven"`)
	large := new(sync.Map)
	for i := range 900 {
		large.Store(i, &pointed{i})
	}
	add("*sync.Map", large, "900 entries")

	var (
		ab  atomic.Bool
		a32 atomic.Int32
		a64 atomic.Int64
		u32 atomic.Uint32
		u64 atomic.Uint64
		up  atomic.Uintptr
		ap  atomic.Pointer[pointed]
		ai  atomic.Pointer[int]
		nop atomic.Pointer[string]
		av  atomic.Value
	)
	ab.Store(true)
	a32.Store(-3)
	a64.Store(math.MinInt64)
	u32.Store(math.MaxUint32)
	u64.Store(math.MaxUint64)
	up.Store(77)
	ap.Store(&pointed{12})
	n := 13
	ai.Store(&n)
	av.Store("stored")
	add("*atomic.Bool", &ab, "true")
	add("*atomic.Int32", &a32, "-3")
	add("*atomic.Int64", &a64, strconv.Itoa(math.MinInt64))
	add("*atomic.Uint32", &u32, "4294967295")
	add("*atomic.Uint64", &u64, "18446744073709551615")
	add("*atomic.Uintptr", &up, "77")
	add("*atomic.Pointer", &ap, "*main.pointed").child("value", "&{N:12}")
	add("*atomic.Pointer", &ai, "*int").child("value", "&13")
	add("*atomic.Pointer", &nop, "nil")
	add("*atomic.Value", &av, `"stored"`)
	add("*atomic.Value", new(atomic.Value), "nil")
	return func() {
		waited.Unlock()
		write.Unlock()
		between.RUnlock()
		wg.Add(-5)
		cond.L.Lock()
		stop = true
		cond.L.Unlock()
		cond.Broadcast()
	}
}

func texts() {
	for i := range 40 {
		s := strings.Repeat("line "+strconv.Itoa(i)+"\t\"quoted\"\n", rnd.IntN(12))
		b := new(strings.Builder)
		b.WriteString(s)
		add("*strings.Builder", b, strconv.Quote(b.String()))
		buf := bytes.NewBufferString(s)
		_, _ = io.CopyN(io.Discard, buf, int64(rnd.IntN(len(s)+1)))
		add("*bytes.Buffer", buf, strconv.Quote(buf.String()))
	}
	add("json.RawMessage", json.RawMessage(`{"a": [1, 2]}`), `{"a": [1, 2]}`)
	re := regexp.MustCompile(`^a+(b|c)*\d$`)
	add("*regexp.Regexp", re, re.String())
	rd := strings.NewReader("reading")
	_, _ = rd.ReadByte()
	add("*strings.Reader", rd, "at byte 1 of 7")

	l := list.New()
	t := add("*list.List", l, "30 elements")
	for i := range 30 {
		l.PushBack(i * 3)
		t.child(fmt.Sprintf("[%d]", i), strconv.Itoa(i*3))
	}
	add("*list.List", list.New(), "0 elements")
	var seq iter.Seq[int] = func(yield func(int) bool) { _ = yield(l.Len()) }
	add("iter.Seq", seq, "main.texts.func1").Prefix = true
}

func errorTrees() {
	e1, e2 := errors.New("first"), errors.New("second")
	add("error", e1, e1.Error())
	w := fmt.Errorf("wrapping: %w", e1)
	add("error", w, w.Error())
	two := fmt.Errorf("%w and %w", e1, e2)
	add("error", two, two.Error()).child("[0]", `*errors.errorString(&{s:"first"})`)
	j := errors.Join(e1, errors.Join(w, e2))
	add("error", j, strings.ReplaceAll(j.Error(), "\n", "; "))
	p := &fs.PathError{Op: "open", Path: "/nowhere", Err: syscall.ENOENT}
	add("error", p, p.Error())
	_, err := strconv.Atoi("12x")
	add("error", err, err.Error())
	add("syscall.Errno", syscall.EPIPE, syscall.EPIPE.Error())
	add("error", &url.Error{Op: "Get", URL: "http://h/", Err: io.EOF}, (&url.Error{Op: "Get", URL: "http://h/", Err: io.EOF}).Error())
}

func reflections() {
	add("reflect.Value", reflect.ValueOf(42), "int 42").child("value", "42")
	add("reflect.Value", reflect.ValueOf("text"), `string "text"`).child("value", `"text"`)
	add("reflect.Value", reflect.ValueOf(&pointed{3}), "*main.pointed").child("value", "&{N:3}")
	add("reflect.Value", reflect.ValueOf(&pointed{3}).Elem(), "main.pointed").child("value", "{N:3}")
	add("reflect.Value", reflect.ValueOf(time.Second), "time.Duration 1s")
	add("reflect.Value", reflect.Value{}, "invalid")
	add("reflect.Type", reflect.TypeFor[map[string]int](), "map[string]int")
	add("reflect.Type", reflect.TypeFor[*pointed](), "*main.pointed")
}

func contexts(tp trace.TracerProvider) (end func()) {
	add("context", context.Background(), "Background")
	add("context", context.TODO(), "TODO")
	var ends []func()
	deadlineText := func(ctx context.Context) string {
		d, ok := ctx.Deadline()
		if !ok {
			return ""
		}
		return timeText(d.Round(0))
	}
	for i := range 60 {
		ctx := context.Context(context.Background())
		values := 0
		t := map[string]string{}
		for range rnd.IntN(14) {
			switch rnd.IntN(8) {
			case 0:
				var c context.CancelFunc
				ctx, c = context.WithCancel(ctx)
				ends = append(ends, c)
			case 1:
				var c context.CancelFunc
				// Round takes the monotonic reading away, so that the text is the same.
				ctx, c = context.WithDeadline(ctx, time.Now().Add(time.Hour+time.Duration(rnd.Int64N(1e12))).Round(0))
				ends = append(ends, c)
			case 2:
				k := "k" + strconv.Itoa(values)
				ctx = context.WithValue(ctx, k, values) //nolint:staticcheck // programs do
				t[strconv.Quote(k)] = strconv.Itoa(values)
				values++
			case 3:
				ctx = context.WithValue(ctx, tenantKey(values), "v")
				t["main.tenantKey("+strconv.Itoa(values)+")"] = `"v"`
				values++
			case 4:
				var c context.CancelCauseFunc
				ctx, c = context.WithCancelCause(ctx)
				if i%3 == 0 {
					c(errors.New("the cause " + strconv.Itoa(i)))
				}
				ends = append(ends, func() { c(nil) })
			case 5:
				if i%5 == 0 {
					ctx = context.WithoutCancel(ctx)
				}
			case 6:
				ctx, _ = tp.Tracer("t").Start(ctx, "op "+strconv.Itoa(i))
			}
		}
		if reflect.TypeOf(ctx).String() == "context.backgroundCtx" {
			continue
		}
		w := add("context", ctx, "")
		w.Prefix = true
		for k, v := range t {
			w.child(k, v)
		}
		w.child("deadline", deadlineText(ctx))
		err, cause := ctx.Err(), context.Cause(ctx)
		switch {
		case err == nil && ctx.Done() == nil:
			w.child("cancelled", "")
		case err == nil:
			w.child("cancelled", "no")
		case err.Error() == cause.Error():
			w.child("cancelled", err.Error())
		default:
			w.child("cancelled", err.Error()+" (cause: "+cause.Error()+")")
		}
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
			w.child("span", strconv.Quote("op "+strconv.Itoa(i))+", trace "+sc.TraceID().String()+", span "+sc.SpanID().String()+", sampled")
		} else {
			w.child("span", "")
		}
	}
	past, c := context.WithDeadline(context.Background(), time.Unix(1, 0).UTC())
	ends = append(ends, c)
	add("context", past, "deadline 1970-01-01T00:00:01Z, cancelled: context deadline exceeded")
	add("context", &wrapped{past, "w"}, "deadline 1970-01-01T00:00:01Z, cancelled: context deadline exceeded").
		child("deadline (of the context in main.wrapped)", "1970-01-01T00:00:01Z")
	add("context", context.WithValue(context.Background(), userKey{}, amount{100, "EUR"}), "1 value").child("main.userKey", `{cents:100 currency:"EUR"}`)
	after, c2 := context.WithCancel(context.Background())
	ends = append(ends, c2)
	context.AfterFunc(after, func() {})
	add("context", after, "not cancelled")
	return func() {
		for _, f := range ends {
			f()
		}
	}
}

func services(tp trace.TracerProvider) {
	db := sql.OpenDB(connector{})
	db.SetMaxOpenConns(7)
	add("*sql.DB", db, "0 connections open, 0 idle, at most 7")
	add("sql.NullString", sql.NullString{String: "x", Valid: true}, `"x"`)
	add("sql.NullString", sql.NullString{}, "NULL")
	add("sql.NullInt64", sql.NullInt64{Int64: -9, Valid: true}, "-9")
	add("sql.NullBool", sql.NullBool{Bool: true, Valid: true}, "true")
	add("sql.NullFloat64", sql.NullFloat64{Float64: 1.25, Valid: true}, "1.25")
	day := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	add("sql.NullTime", sql.NullTime{Time: day, Valid: true}, "2026-11-30T03:00:00Z")
	add("sql.Null", sql.Null[Shade]{V: 4, Valid: true}, "4")
	add("sql.Null", sql.Null[Shade]{V: 4}, "NULL")

	ctx, span := tp.Tracer("t").Start(context.Background(), "GET /x")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://example.com/cart?id=7", nil)
	if err != nil {
		panic(err)
	}
	sc := span.SpanContext()
	ids := "trace " + sc.TraceID().String() + ", span " + sc.SpanID().String() + ", sampled"
	add("*http.Request", r, "POST https://example.com/cart?id=7").child("span", ids)
	add("*http.Response", &http.Response{Status: "404 Not Found", StatusCode: 404}, "404 Not Found")
	add("trace.Span", span, `"GET /x", `+ids)
	add("trace.SpanContext", sc, ids)
	add("trace.TraceID", sc.TraceID(), sc.TraceID().String())
	add("trace.SpanID", sc.SpanID(), sc.SpanID().String())
	add("attribute", attribute.String("k", "v"), `k="v"`)
	add("attribute", attribute.Int("n", 5), `n=5`)
	add("attribute", attribute.Bool("b", true), `b=true`)
}

func messages() {
	for range 40 {
		t := timestamppb.New(time.Unix(rnd.Int64N(1e10)-5e9, rnd.Int64N(1e9)))
		add("*timestamppb.Timestamp", t, t.AsTime().Format(time.RFC3339Nano))
		d := durationpb.New(time.Duration(rnd.Int64() >> rnd.IntN(40)))
		add("*durationpb.Duration", d, d.AsDuration().String())
	}
	add("*wrapperspb", wrapperspb.String("boxed"), `"boxed"`)
	add("*wrapperspb", wrapperspb.Int64(5), "5")
	s, err := structpb.NewStruct(map[string]any{"a": 1.5})
	if err != nil {
		panic(err)
	}
	add("*structpb.Struct", s, "fields:map[string]*google.golang.org/protobuf/types/known/structpb.Value of 1")
	add("*structpb.Value", structpb.NewStringValue("s"), `string_value:"s"`).child("string_value", `"s"`)
	add("*structpb.Value", structpb.NewNumberValue(2.5), `number_value:2.5`).child("number_value", `2.5`)
	add("*structpb.Value", &structpb.Value{}, "nothing set")
}

func main() {
	dir := os.Args[1]
	cfg := capture.DefaultConfig()
	cfg.Pause, cfg.Timeout, cfg.Goroutines = time.Minute, time.Minute, capture.ScopeFailing
	check(capture.RegisterType("main.amount", capture.TypeSupport{Describe: func(v capture.View, d *capture.Description) {
		n, ok := v.Field("cents").Int()
		if cur, _, ok2 := v.Field("currency").Text(); ok && ok2 {
			d.Summary(fmt.Sprintf("%d.%02d %s", n/100, n%100, cur))
		}
	}}))
	// Numbers with very many digits look like tokens.
	none, err := redact.New(redact.Config{})
	check(err)
	cfg.Redactor = none
	e, err := capture.New(cfg)
	check(err)
	check(e.Ready(context.Background()))
	tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	times()
	numbers()
	networks()
	endSync := syncs()
	texts()
	errorTrees()
	reflections()
	endContexts := contexts(tp)
	services(tp)
	messages()
	add("amount", amount{1250, "EUR"}, "12.50 EUR")
	locals(e, dir)
	write(e, dir, "types", watches)
	endSync()
	endContexts()
	b, err := json.Marshal(truths)
	check(err)
	check(os.WriteFile(filepath.Join(dir, "truth.json"), b, 0o600))
}

// locals has the same types as variables of a frame.
//
//go:noinline
func locals(e *capture.Engine, dir string) {
	when := time.Date(2026, 11, 30, 4, 0, 0, 5, time.FixedZone("CET", 3600))
	price := amount{999, "CHF"}
	mu := &sync.Mutex{}
	mu.Lock()
	ip := netip.MustParseAddr("192.0.2.1")
	n := big.NewInt(-1 << 40)
	ctx, cancel := context.WithCancel(context.Background())
	var v atomic.Pointer[pointed]
	v.Store(&pointed{5})
	write(e, dir, "locals", nil)
	fmt.Fprintln(io.Discard, when, price, mu, ip, n, ctx, v.Load())
	cancel()
}

func write(e *capture.Engine, dir, name string, ws []capture.Watch) {
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: ws})
	check(err)
	f, err := os.Create(filepath.Join(dir, name+dump.Extension))
	check(err)
	_, err = s.Encode(context.Background(), f, &dump.Header{}, nil)
	check(err)
	s.Release()
	check(f.Close())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
