package main

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing/fstest"
	"text/template"

	"github.com/go-chi/chi/v5"
	"golang.org/x/sync/errgroup"
)

// Failures below and above the standard library and modules of others.

type level struct{ N int }

func (l *level) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	switch text {
	case "low":
		l.N = 1
	case "high":
		l.N = 2
	default:
		known := []string{"low", "high"}
		err := fmt.Errorf("level %q is none of %d", text, len(known))
		report(err)
		return err
	}
	return nil
}

type event struct {
	ID     int      `json:"id"`
	Level  level    `json:"level"`
	Labels []string `json:"labels"`
}

//go:noinline
func loadEvents(doc string, strict bool) ([]event, error) {
	var evs []event
	dec := json.NewDecoder(strings.NewReader(doc))
	if strict {
		dec.DisallowUnknownFields()
	}
	for n := 0; ; n++ {
		var e event
		if err := dec.Decode(&e); err == io.EOF {
			return evs, nil
		} else if err != nil {
			return evs, fmt.Errorf("event %d: %w", n, err)
		}
		evs = append(evs, e)
	}
}

type stringer struct {
	parts []string
	idx   int
}

func (s *stringer) String() string {
	joined := strings.Join(s.parts, "-")
	return joined + s.parts[s.idx]
}

//go:noinline
func describe(s *stringer, width int) string {
	var b strings.Builder
	pad := strings.Repeat(".", width)
	b.WriteString(pad)
	b.WriteString(s.String())
	return b.String()
}

type api struct {
	db     map[string]*Order
	served int
}

//go:noinline
func (a *api) get(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	verbose := r.Header.Get("X-Verbose") == "1"
	a.served++
	o := a.db[id]
	status := http.StatusOK
	city := o.Customer.Address.City
	if verbose {
		status = http.StatusAccepted
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, id, city)
}

//go:noinline
func (a *api) byPath(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	page := len(r.URL.Path)
	o, ok := a.db[id]
	if !ok {
		err := fmt.Errorf("no order %q on page %d", id, page)
		report(err)
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, o.Items[page].SKU)
}

func logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, path := r.Method, r.URL.Path
		h.ServeHTTP(w, r)
		fmt.Fprintln(io.Discard, method, path)
	})
}

type byQty []Item

func (b byQty) Len() int      { return len(b) }
func (b byQty) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b byQty) Less(i, j int) bool {
	x, y := b[i], b[j]
	return x.Tags[0] < y.Tags[0]
}

type queue []int

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i] < q[j] }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(int)) }
func (q *queue) Pop() any {
	old := *q
	n := len(old)
	x := old[n-1]
	*q = old[:n-1]
	return x
}

//go:noinline
func drain(q *queue, times int) (sum int) {
	for i := 0; i < times; i++ {
		v := heap.Pop(q).(int)
		sum += v * i
	}
	return sum
}

//go:noinline
func expand(text string, vars map[string]string, missing int) string {
	re := regexp.MustCompile(`\$([a-z]+)`)
	seen := 0
	return re.ReplaceAllStringFunc(text, func(m string) string {
		name := m[1:]
		seen++
		v, ok := vars[name]
		if !ok && seen > missing {
			panic(fmt.Errorf("variable %d: no value for %s", seen, name))
		}
		return v
	})
}

//go:noinline
func walk(fsys fs.FS, root string) (total int64, err error) {
	files := 0
	err = fs.WalkDir(fsys, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		total += info.Size()
		if strings.HasSuffix(path, ".bad") {
			err := &fs.PathError{Op: "walk", Path: path, Err: errors.ErrUnsupported}
			report(err)
			return err
		}
		return nil
	})
	return total, err
}

//go:noinline
func renderTemplate(name string, data map[string]any) (string, error) {
	var b strings.Builder
	calls := 0
	t, err := template.New(name).Funcs(template.FuncMap{"pick": func(xs []string, i int) string {
		calls++
		return xs[i]
	}}).Parse(`{{range $i, $x := .items}}{{pick $.names $i}}={{$x}} {{end}}`)
	if err != nil {
		return "", err
	}
	err = t.Execute(&b, data)
	if err != nil {
		report(err)
	}
	return b.String(), err
}

//go:noinline
func ratio(nums []int64, den int64) string {
	sum := new(big.Int)
	for _, n := range nums {
		sum.Add(sum, big.NewInt(n))
	}
	d := big.NewInt(den)
	q, r := new(big.Int).QuoRem(sum, d, new(big.Int))
	return q.String() + " " + r.String()
}

//go:noinline
func worker(id int, jobs <-chan int, results []int) {
	done := 0
	for j := range jobs {
		results[j*id] = j
		done++
	}
}

//go:noinline
func pool(n int) {
	jobs := make(chan int, 8)
	results := make([]int, 6)
	for j := range 6 {
		jobs <- j
	}
	close(jobs)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer func() { _ = recover() }()
		defer onPanic(began)
		worker(n, jobs, results)
	}()
	wg.Wait()
}

//go:noinline
func fetchAll(ctx context.Context, urls []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1)
	for i, u := range urls {
		g.Go(func() error {
			parts := strings.SplitN(u, "://", 2)
			if len(parts) != 2 {
				err := fmt.Errorf("url %d: %q has no scheme", i, u)
				report(err)
				return err
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

//go:noinline
func openConfig(dir, name string, required bool) ([]byte, error) {
	path := dir + "/" + name
	b, err := os.ReadFile(path)
	if err != nil {
		kind := "optional"
		if required {
			kind = "required"
		}
		err = fmt.Errorf("%s config: %w", kind, err)
		report(err)
		return nil, err
	}
	return b, nil
}

//go:noinline
func sortedKeys(m map[string][]int, pick int) []int {
	keys := make([]string, 0, len(m))
	for _, k := range []string{"a", "b", "c"} {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return len(m[a])*m[b][0] - len(m[b])*m[a][0] })
	return m[keys[pick]]
}

//go:noinline
func mapRunes(s string, table []rune) string {
	hits := 0
	return strings.Map(func(r rune) rune {
		i := int(r - 'a')
		hits++
		return table[i]
	}, s)
}

func stdSites() []Site {
	get := func(h http.Handler, url string) {
		r := httptest.NewRequest("GET", url, nil)
		r.Header.Set("X-Verbose", "1")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	db := map[string]*Order{"7": {ID: 7, Customer: &Customer{Name: "Zed"}}, "8": order(8)}
	return []Site{
		{"json-unmarshal", func() { _, _ = loadEvents(`{"id":1,"level":"low"} {"id":2,"level":"mid","labels":["a","b"]}`, true) }},
		{"stringer", func() { _ = describe(&stringer{[]string{"a", "bc"}, 2}, 5) }},
		{"http-handler", func() {
			a := &api{db: db}
			m := http.NewServeMux()
			m.HandleFunc("GET /order", a.get)
			get(logged(m), "/order?id=7")
		}},
		{"http-missing", func() {
			a := &api{db: db}
			m := http.NewServeMux()
			m.HandleFunc("/", a.get)
			get(logged(m), "/order?id=99")
		}},
		{"chi-handler", func() {
			a := &api{db: db}
			r := chi.NewRouter()
			r.Use(logged)
			r.Get("/orders/{id}", a.byPath)
			get(r, "/orders/8")
		}},
		{"chi-error", func() {
			a := &api{db: db}
			r := chi.NewRouter()
			r.Get("/orders/{id}", a.byPath)
			get(r, "/orders/12")
		}},
		{"sort-less", func() { sort.Sort(byQty(order(1).Items)) }},
		{"sort-slice", func() {
			items := order(2).Items
			bad := 2
			sort.Slice(items, func(i, j int) bool { return items[i+bad].Qty < items[j].Qty })
		}},
		{"heap", func() { q := &queue{5, 3, 8}; heap.Init(q); _ = drain(q, 4) }},
		{"heap-push", func() { q := &queue{5, 3, 8}; heap.Push(q, "x") }},
		{"regexp", func() { _ = expand("a $one b $two c $three", map[string]string{"one": "1"}, 2) }},
		{"walkdir", func() {
			_, _ = walk(fstest.MapFS{"a/x.txt": {Data: []byte("12345")}, "a/y.bad": {Data: []byte("67")}, "b.txt": {Data: []byte("8")}}, ".")
		}},
		{"template", func() {
			_, _ = renderTemplate("list", map[string]any{"items": []int{1, 2, 3}, "names": []string{"x", "y"}})
		}},
		{"big-divide", func() { _ = ratio([]int64{1 << 40, 77, -5}, 0) }},
		{"worker", func() { pool(3) }},
		{"errgroup", func() { _ = fetchAll(context.Background(), []string{"http://a", "b", "c://d"}) }},
		{"open-config", func() { _, _ = openConfig("/nonexistent", "app.yaml", true) }},
		{"slices-sort", func() { _ = sortedKeys(map[string][]int{"a": {1}, "b": {}, "c": {3, 4}}, 0) }},
		{"strings-map", func() { _ = mapRunes("abcabz", []rune{'x', 'y', 'z'}) }},
	}
}
