package corpus

import (
	"bufio"
	"bytes"
	"container/list"
	"context"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

func init() {
	register("std", std)
	register("sync", syncs)
	register("reflect", reflects)
	register("unsafe", unsafes)
}

type ctxKey struct{}

func std() {
	utc := time.Date(2026, 11, 23, 3, 20, 0, 5, time.UTC)
	zone := time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("X", 3600))
	var zero time.Time
	dur := 90 * time.Second
	n, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	rat := big.NewRat(1, 3)
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")
	pfx := netip.MustParsePrefix("10.0.0.0/8")
	u := &url.URL{Scheme: "https", Host: "example.com", Path: "/p", User: url.User("me")}
	ctx := context.WithValue(context.Background(), ctxKey{}, "v")
	todo := context.TODO()
	cctx, cancel := context.WithCancel(ctx)
	cancel()
	var buf bytes.Buffer
	buf.WriteString("buffered")
	var sb strings.Builder
	sb.WriteString("built")
	br := bufio.NewReader(strings.NewReader("read"))
	l := list.New()
	l.PushBack(1)
	l.PushFront("two")
	hdr := http.Header{"A": {"1", "2"}}
	req := &http.Request{Method: "GET", URL: u, Header: hdr}
	mon, wd := time.November, time.Monday
	fail("std")
	if never {
		sink = []any{utc, zone, zero, dur, n, rat, v4, v6, pfx, u, ctx, todo, cctx, cancel, &buf, &sb, br, l, hdr, req, mon, wd}
	}
}

func syncs() {
	var mu sync.Mutex
	mu.Lock()
	var rw sync.RWMutex
	rw.RLock()
	var once sync.Once
	once.Do(func() {})
	var wg sync.WaitGroup
	wg.Add(2)
	var ai atomic.Int64
	ai.Store(-3)
	var ab atomic.Bool
	ab.Store(true)
	var ap atomic.Pointer[person]
	ap.Store(&person{"atomic", 1})
	var av atomic.Value
	av.Store("value")
	var au atomic.Uint32
	cond := sync.NewCond(&mu)
	ov := sync.OnceValue(func() int { return 4 })
	pool := sync.Pool{New: func() any { return 1 }}
	fail("sync")
	if never {
		sink = []any{&mu, &rw, &once, &wg, &ai, &ab, &ap, &av, &au, cond, ov, &pool}
	}
}

func reflects() {
	x := 5
	ti := reflect.TypeFor[int]()
	tm := reflect.TypeFor[map[string]*person]()
	vi := reflect.ValueOf(x)
	vp := reflect.ValueOf(&x).Elem()
	var none reflect.Value
	var noneType reflect.Type
	sf := reflect.StructField{Name: "F", Index: []int{1}}
	k := reflect.Map
	fail("reflect")
	if never {
		sink = []any{ti, tm, vi, vp, none, noneType, sf, k, x}
	}
}

func unsafes() {
	arr := [4]uint32{1, 2, 3, 4}
	p := unsafe.Pointer(&arr[1])
	var none unsafe.Pointer
	u := uintptr(12345)
	s := unsafe.Slice((*byte)(p), 4)
	str := unsafe.String((*byte)(p), 3)
	ps := []unsafe.Pointer{p, nil}
	m := map[unsafe.Pointer]int{nil: 1}
	hdr := struct {
		P unsafe.Pointer
		N uintptr
	}{nil, 3}
	var boxed any = none
	fail("unsafe")
	if never {
		sink = []any{arr, p, none, u, s, str, ps, m, hdr, boxed}
	}
}
