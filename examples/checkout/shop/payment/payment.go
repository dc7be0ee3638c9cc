// Package payment takes money and gives it back.
package payment

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/store"
)

var tracer = otel.Tracer("checkout/payment")

// Charge is what a gateway is asked for.
type Charge struct {
	OrderID   string
	Amount    money.Amount
	cardToken string
	Attempt   int
}

// Receipt proves a payment.
type Receipt struct {
	Number  string
	OrderID string
	Amount  money.Amount
}

// Gateway is a bank.
type Gateway interface {
	Authorize(ctx context.Context, c Charge) (*Receipt, error)
	Reverse(ctx context.Context, r *Receipt, amount money.Amount) error
}

// Processor takes payments through a gateway and keeps the receipts.
type Processor struct {
	gateway  Gateway
	attempts int
	tokens   map[string]string              // customer ID: card token
	receipts *store.Table[string, *Receipt] // by order ID
}

// NewProcessor returns a processor that tries each charge a few times.
func NewProcessor(g Gateway, attempts int, tokens map[string]string) *Processor {
	return &Processor{
		gateway:  g,
		attempts: attempts,
		tokens:   tokens,
		receipts: store.NewTable[string, *Receipt]("receipts"),
	}
}

// MustCharge takes the money for an order that was promised to the customer
// already. It panics if the bank refuses.
func (p *Processor) MustCharge(ctx context.Context, o *orders.Order, amount money.Amount) *Receipt {
	ctx, span := tracer.Start(ctx, "payment.charge", trace.WithAttributes(
		attribute.String("order.id", o.ID), attribute.Int64("payment.cents", amount.Cents)))
	defer span.End()

	cardToken := p.tokens[o.Customer.ID]
	receipt, err := p.authorize(ctx, Charge{OrderID: o.ID, Amount: amount, cardToken: cardToken})
	if err != nil {
		panic(fmt.Errorf("charge order %s: %w", o.ID, err)) // FAIL: custom-panic
	}
	p.receipts.Put(o.ID, receipt)
	span.SetAttributes(attribute.String("payment.receipt", receipt.Number))
	return receipt
}

// authorize asks the gateway until it agrees or says that asking again is of no
// use.
func (p *Processor) authorize(ctx context.Context, c Charge) (*Receipt, error) {
	for {
		c.Attempt++
		receipt, err := p.gateway.Authorize(ctx, c)
		if err == nil {
			return receipt, nil
		}
		if c.Attempt >= p.attempts {
			return nil, fmt.Errorf("authorize %s, attempt %d: %w", c.Amount, c.Attempt, err)
		}
	}
}

// Refund pays back a part of what an order cost.
func (p *Processor) Refund(ctx context.Context, o *orders.Order, percent int64) (money.Amount, error) {
	ctx, span := tracer.Start(ctx, "payment.refund", trace.WithAttributes(
		attribute.String("order.id", o.ID), attribute.Int64("refund.percent", percent)))
	defer span.End()

	amount := o.Total().Percent(percent)
	if err := p.reverse(ctx, o.ID, amount); err != nil {
		err = fmt.Errorf("refund %d%% of order %s: %w", percent, o.ID, err)
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		return money.Amount{}, err // FAIL: error-span
	}
	return amount, nil
} // FAIL: error-span (here the span ends in an unoptimised build)

func (p *Processor) reverse(ctx context.Context, orderID string, amount money.Amount) error {
	receipt, err := p.receipts.Get(orderID)
	if err != nil {
		return fmt.Errorf("find receipt: %w", err)
	}
	if err := p.gateway.Reverse(ctx, receipt, amount); err != nil {
		return fmt.Errorf("reverse receipt %s: %w", receipt.Number, err)
	}
	return nil
}
