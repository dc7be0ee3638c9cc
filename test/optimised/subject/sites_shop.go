package main

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"
)

// Business logic: orders, prices, stock.

type Money int64

type Item struct {
	SKU   string
	Qty   int
	Price Money
	Tags  []string
}

type Customer struct {
	Name    string
	Email   string
	Credit  Money
	Address *Address
}

type Address struct{ Street, City, Country string }

type Order struct {
	ID       int
	Customer *Customer
	Items    []Item
	Discount float64
	Notes    map[string]string
	Paid     bool
}

var errStock = errors.New("out of stock")

func order(id int) *Order {
	return &Order{
		ID:       id,
		Customer: &Customer{Name: "Ada", Email: "ada@example.com", Credit: 5000, Address: &Address{"Main Street 1", "Wien", "AT"}},
		Items: []Item{
			{"A-1", 2, 950, []string{"red", "small"}}, {"B-2", 1, 2000, nil}, {"C-3", 7, 15, []string{"bulk"}},
		},
		Discount: 0.125,
		Notes:    map[string]string{"gift": "yes", "wrap": "blue"},
	}
}

//go:noinline
func subtotal(items []Item, from, to int) Money {
	var sum Money
	for i := from; i < to; i++ {
		line := Money(items[i].Qty) * items[i].Price
		sum += line
	}
	return sum
}

func discounted(sum Money, rate float64) Money {
	return Money(math.Round(float64(sum) * (1 - rate)))
}

//go:noinline
func checkout(o *Order, coupon string, limit int) (total Money, err error) {
	prefix := strings.ToUpper(coupon)
	rate := o.Discount
	if strings.HasPrefix(prefix, "TEN") {
		rate += 0.1
	}
	gross := subtotal(o.Items, 0, limit)
	total = discounted(gross, rate)
	if total > o.Customer.Credit {
		return total, fmt.Errorf("order %d: %w", o.ID, errStock)
	}
	return total, nil
}

//go:noinline
func cityOf(c *Customer, fallback string) string {
	name := c.Name + "/" + fallback
	if len(name) > 100 {
		return name
	}
	return c.Address.City + name
}

//go:noinline
func ship(o *Order, weights []float64, factor float64) float64 {
	var kg float64
	count := 0
	for i, it := range o.Items {
		w := weights[i] * factor
		kg += w * float64(it.Qty)
		count += it.Qty
	}
	return kg / float64(count)
}

type inventory struct {
	stock map[string]int
	log   []string
	hits  int
}

//go:noinline
func (inv *inventory) reserve(sku string, qty int) error {
	have, ok := inv.stock[sku]
	inv.hits++
	if !ok {
		return fmt.Errorf("unknown sku %q", sku)
	}
	left := have - qty
	if left < 0 {
		panic(fmt.Sprintf("stock of %s would be %d", sku, left))
	}
	inv.stock[sku] = left
	inv.log = append(inv.log, sku)
	return nil
}

//go:noinline
func (inv *inventory) reserveAll(o *Order, attempt int) (done int, err error) {
	for i := range o.Items {
		it := &o.Items[i]
		if err := inv.reserve(it.SKU, it.Qty*attempt); err != nil {
			return done, fmt.Errorf("item %d: %w", i, err)
		}
		done++
	}
	return done, nil
}

//go:noinline
func average(o *Order, buckets int) int {
	n := 0
	for _, it := range o.Items {
		n += it.Qty
	}
	size := n / buckets
	return size*2 + len(o.Items)
}

type state int

type machine struct {
	cur   state
	table [4]func(*machine, string) state
	trace []string
}

//go:noinline
func (m *machine) step(ev string, n int) {
	m.trace = append(m.trace, ev)
	next := m.table[int(m.cur)+n](m, ev)
	if next == m.cur {
		panic(errors.New("stuck in " + ev))
	}
	m.cur = next
}

//go:noinline
func validate(o *Order, rules map[string]func(*Order) error) error {
	names := make([]string, 0, len(rules))
	for n := range rules {
		names = append(names, n)
	}
	sort.Strings(names)
	var errs []error
	for i, n := range names {
		if err := rules[n](o); err != nil {
			errs = append(errs, fmt.Errorf("rule %d %s: %w", i, n, err))
		}
	}
	err := errors.Join(errs...)
	if err != nil {
		report(err)
	}
	return err
}

//go:noinline
func withRetry(name string, max int, f func(attempt int) error) (err error) {
	backoff := 10 * time.Millisecond
	for attempt := 1; attempt <= max; attempt++ {
		if err = f(attempt); err == nil {
			return nil
		}
		backoff *= 2
	}
	err = fmt.Errorf("%s: gave up after %v: %w", name, backoff, err)
	report(err)
	return err
}

//go:noinline
func transfer(from, to *Customer, amount Money, memo string, fee float64) error {
	charge := Money(float64(amount) * fee)
	before := from.Credit
	if before < amount+charge {
		err := fmt.Errorf("%s has %d, needs %d for %q", from.Name, before, amount+charge, memo)
		report(err)
		return err
	}
	from.Credit -= amount + charge
	to.Credit += amount
	return nil
}

//go:noinline
func manyArgs(a, b, c, d, e, f, g, h int, s string, x, y float64, last []int) int {
	sum := a + b*2 + c*3 + d*4 + e*5 + f*6 + g*7 + h*8
	if x*y > float64(sum) {
		sum++
	}
	return sum + last[len(s)]
}

//go:noinline
func settle(o *Order) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("settle %d: %v", o.ID, p)
			report(err)
		}
	}()
	paid, owed := Money(100), Money(0)
	for _, it := range o.Items {
		owed += it.Price
	}
	deep(o, paid, owed)
	return nil
}

//go:noinline
func deep(o *Order, paid, owed Money) {
	diff := owed - paid
	o.Customer.Address = nil
	_ = cityOf(o.Customer, fmt.Sprint(diff))
}

type cart struct {
	Order
	extra [3]Item
}

//go:noinline
func (c cart) at(i int) Item { return c.extra[i+c.ID] }

//go:noinline
func report3(c cart, idx []int) (out []Item) {
	for k, i := range idx {
		it := c.at(i)
		it.Qty += k
		out = append(out, it)
	}
	return out
}

//go:noinline
func percent(parts []Money, whole Money) []float64 {
	out := make([]float64, len(parts))
	scale := 100 / float64(whole)
	for i := 0; i <= len(parts); i++ {
		p := float64(parts[i])
		out[i] = p * scale
	}
	return out
}

//go:noinline
func gridSum(g [3][4]int, row int, col *int) int {
	s := 0
	for r := 0; r < row; r++ {
		for c := range g[r] {
			s += g[r][c] * (r + 1)
		}
	}
	return s + g[row%3][*col]
}

func shopSites() []Site {
	return []Site{
		{"checkout-range", func() { _, _ = checkout(order(42), "ten-off", 5) }},
		{"checkout-nil-customer", func() { o := order(43); o.Customer = nil; _, _ = checkout(o, "x", 2) }},
		{"city-nil", func() { c := &Customer{Name: "Bob"}; _ = cityOf(c, "nowhere") }},
		{"ship-short", func() { _ = ship(order(44), []float64{0.5, 1.25}, 1.5) }},
		{"reserve-panic", func() {
			inv := &inventory{stock: map[string]int{"A-1": 10, "B-2": 3, "C-3": 20}}
			_, _ = inv.reserveAll(order(45), 3)
		}},
		{"reserve-nil-map", func() { inv := &inventory{}; inv.stock = map[string]int{"A-1": 9}; nilMap(inv, "A-1") }},
		{"average-zero", func() { _ = average(order(46), len(order(1).Notes)-2) }},
		{"machine-nil-func", func() { m := &machine{cur: 1}; m.step("go", 2) }},
		{"machine-stuck", func() {
			m := &machine{cur: 1}
			m.table[2] = func(m *machine, ev string) state { return m.cur }
			m.step("again", 1)
		}},
		{"validate", func() {
			_ = validate(order(47), map[string]func(*Order) error{
				"credit": func(o *Order) error { return fmt.Errorf("credit %d", o.Customer.Credit) },
				"paid": func(o *Order) error {
					if !o.Paid {
						return errors.New("not paid")
					}
					return nil
				},
				"size": func(o *Order) error { return nil },
			})
		}},
		{"retry", func() {
			tries := 0
			_ = withRetry("mail", 3, func(a int) error { tries += a; return fmt.Errorf("try %d of %d", a, tries) })
		}},
		{"transfer", func() { o := order(48); _ = transfer(o.Customer, &Customer{Name: "Eve"}, 4900, "rent", 0.05) }},
		{"many-args", func() { _ = manyArgs(1, 2, 3, 4, 5, 6, 7, 8, "four", 2.5, 3.5, []int{1, 2, 3}) }},
		{"settle", func() { _ = settle(order(49)) }},
		{"cart-value", func() { c := cart{Order: *order(1)}; _ = report3(c, []int{0, 1, 2, 3}) }},
		{"percent", func() { _ = percent([]Money{10, 20, 30}, 60) }},
		{"grid", func() { _ = gridSum([3][4]int{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}, 2, nil) }},
	}
}

//go:noinline
func nilMap(inv *inventory, sku string) {
	have := inv.stock[sku]
	inv.stock = nil
	inv.log = append(inv.log, sku, fmt.Sprint(have))
	inv.stock[sku] = have - len(inv.log)
}

var sites = func() []Site {
	var all []Site
	all = append(all, shopSites()...)
	all = append(all, parseSites()...)
	all = append(all, stdSites()...)
	all = append(all, genericSites()...)
	return all
}()
