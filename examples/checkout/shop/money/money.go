// Package money holds amounts of money as whole cents, so that adding them up
// never rounds.
package money

import "fmt"

// Amount is a sum of money in one currency.
type Amount struct {
	Cents    int64
	Currency string // ISO 4217
}

// EUR returns an amount in euros.
func EUR(cents int64) Amount { return Amount{Cents: cents, Currency: "EUR"} }

// Plus returns the sum of two amounts of the same currency.
func (a Amount) Plus(b Amount) Amount {
	if a.Currency == "" {
		return b
	}
	if b.Currency != "" && a.Currency != b.Currency {
		panic(fmt.Sprintf("money: %s plus %s", a.Currency, b.Currency))
	}
	return Amount{Cents: a.Cents + b.Cents, Currency: a.Currency}
}

// Minus returns what is left of a.
func (a Amount) Minus(b Amount) Amount {
	b.Cents = -b.Cents
	return a.Plus(b)
}

// Times returns n times the amount.
func (a Amount) Times(n int) Amount {
	return Amount{Cents: a.Cents * int64(n), Currency: a.Currency}
}

// Percent returns the given hundredth parts of the amount, rounded down.
func (a Amount) Percent(p int64) Amount {
	return Amount{Cents: a.Cents * p / 100, Currency: a.Currency}
}

// String returns the amount as people write it: "12.50 EUR".
func (a Amount) String() string {
	sign, cents := "", a.Cents
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, cents/100, cents%100, a.Currency)
}

// Sum adds up what the items cost.
func Sum[T any](items []T, cost func(T) Amount) Amount {
	var total Amount
	for _, item := range items {
		total = total.Plus(cost(item))
	}
	return total
}
