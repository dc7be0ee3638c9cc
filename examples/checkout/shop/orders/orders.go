// Package orders is what the shop is about: customers and what they ordered.
package orders

import (
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
)

// Status is how far an order has come.
type Status uint8

// The states of an order.
const (
	Draft Status = iota
	Placed
	Paid
	Shipped
)

func (s Status) String() string {
	switch s {
	case Draft:
		return "draft"
	case Placed:
		return "placed"
	case Paid:
		return "paid"
	case Shipped:
		return "shipped"
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Line is one article of an order.
type Line struct {
	SKU     string
	Title   string
	Qty     int
	Price   money.Amount
	Grams   int
	Digital bool // nothing to ship
}

// Total is what the line costs.
func (l Line) Total() money.Amount { return l.Price.Times(l.Qty) }

// Event is something that happened to an order.
type Event struct {
	At   time.Time
	What string
	By   string
}

// Order is what a customer wants to have.
type Order struct {
	ID       string
	Number   int
	Customer *Customer
	Lines    []Line
	Status   Status
	Placed   time.Time
	// Notes are remarks by the staff, by author and number. Orders imported
	// from the old shop have none.
	Notes   map[string]string
	History []Event
}

// Units returns how many pieces the order has.
func (o *Order) Units() int {
	n := 0
	for _, l := range o.Lines {
		n += l.Qty
	}
	return n
}

// Grams returns what the order weighs.
func (o *Order) Grams() int {
	n := 0
	for _, l := range o.Lines {
		n += l.Qty * l.Grams
	}
	return n
}

// Total returns what the order costs before discounts and shipping.
func (o *Order) Total() money.Amount {
	return money.Sum(o.Lines, Line.Total)
}

// Annotate adds a note and returns how many there are.
func (o *Order) Annotate(author, text string) int {
	seq := len(o.History) + 1
	key := fmt.Sprintf("%s/%d", author, seq)
	o.Notes[key] = text // FAIL: nil-map
	what := fmt.Sprintf("note %d: %s", seq, key)
	o.History = append(o.History, Event{At: o.Placed, What: what, By: author})
	return len(o.Notes)
}
