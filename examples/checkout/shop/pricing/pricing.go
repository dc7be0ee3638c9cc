// Package pricing works out what an order costs.
package pricing

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
)

var tracer = otel.Tracer("checkout/pricing")

// Step is one discount of a quote.
type Step struct {
	Index int
	Rule  string
	Off   money.Amount
}

// Quote is what an order costs, and how that came about.
type Quote struct {
	OrderID  string
	Campaign string
	Subtotal money.Amount
	Total    money.Amount
	Steps    []Step
}

// Engine applies discounts, one after the other.
type Engine struct {
	Campaign  string
	Discounts []Discount
}

// Quote prices an order.
func (e *Engine) Quote(ctx context.Context, o *orders.Order) (*Quote, error) {
	_, span := tracer.Start(ctx, "pricing.quote", trace.WithAttributes(attribute.String("order.id", o.ID)))
	defer span.End()

	subtotal := o.Total()
	quote := &Quote{OrderID: o.ID, Campaign: e.Campaign, Subtotal: subtotal}
	rest := subtotal
	for i, discount := range e.Discounts {
		off := discount.Off(o, rest)
		if off.Cents == 0 {
			continue
		}
		rest = rest.Minus(off)
		step := Step{Index: i, Rule: discount.Name(), Off: off}
		quote.Steps = append(quote.Steps, step)
	}
	quote.Total = rest
	span.SetAttributes(attribute.Int64("quote.off_cents", subtotal.Cents-rest.Cents))
	return quote, nil
}
