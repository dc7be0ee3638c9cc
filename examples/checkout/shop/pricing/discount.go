package pricing

import (
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
)

// Discount is a rule that makes an order cheaper.
type Discount interface {
	Name() string
	// Off returns how much to take off the amount; zero if the rule does not
	// apply.
	Off(o *orders.Order, amount money.Amount) money.Amount
}

// BulkDiscount takes a percentage off orders of many pieces.
type BulkDiscount struct {
	MinUnits int
	Percent  int64
}

// Name implements Discount.
func (d *BulkDiscount) Name() string { return "bulk" }

// Off implements Discount.
func (d *BulkDiscount) Off(o *orders.Order, amount money.Amount) money.Amount {
	if o.Units() < d.MinUnits {
		return money.Amount{}
	}
	return amount.Percent(d.Percent)
}

// LoyaltyDiscount pays out the points of the customer's card.
type LoyaltyDiscount struct {
	MaxPercent int64 // of the amount
	Excluded   map[string]bool
}

// Name implements Discount.
func (d *LoyaltyDiscount) Name() string { return "loyalty" }

// Off implements Discount.
func (d *LoyaltyDiscount) Off(o *orders.Order, amount money.Amount) money.Amount {
	units := o.Units()
	limit := amount.Percent(d.MaxPercent)
	eligible := amount
	for _, line := range o.Lines {
		if d.Excluded[line.SKU] {
			units -= line.Qty
			eligible = eligible.Minus(line.Total())
		}
	}
	points := o.Customer.Bonus(eligible.Cents)
	off := money.Amount{Cents: points, Currency: amount.Currency}
	if units == 0 {
		return money.Amount{}
	}
	if off.Cents > limit.Cents {
		return limit
	}
	return off
}
