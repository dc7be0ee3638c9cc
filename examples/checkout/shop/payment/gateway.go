package payment

import (
	"context"
	"fmt"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
)

// DeclinedError is a bank's no.
type DeclinedError struct {
	Code    int
	Reason  string
	Amount  money.Amount
	Limit   money.Amount
	Details map[string]string
}

func (e *DeclinedError) Error() string {
	return fmt.Sprintf("declined with code %d: %s", e.Code, e.Reason)
}

// Card is a card that a bank has issued.
type Card struct {
	Token string
	Limit money.Amount
}

// CardGateway is a bank that knows what each card may spend.
type CardGateway struct {
	Endpoint string
	APIKey   string
	Cards    []Card

	mu     sync.Mutex
	number int
}

// Authorize implements Gateway.
func (g *CardGateway) Authorize(_ context.Context, c Charge) (*Receipt, error) {
	limit := g.limit(c.cardToken)
	if c.Amount.Cents > limit.Cents {
		return nil, &DeclinedError{
			Code: 51, Reason: "insufficient funds", Amount: c.Amount, Limit: limit,
			Details: map[string]string{"bank": "Example Bank", "order": c.OrderID},
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.number++
	return &Receipt{Number: fmt.Sprintf("R-%04d", g.number), OrderID: c.OrderID, Amount: c.Amount}, nil
}

func (g *CardGateway) limit(cardToken string) money.Amount {
	for _, card := range g.Cards {
		if card.Token == cardToken {
			return card.Limit
		}
	}
	return money.Amount{}
}

// Reverse implements Gateway.
func (g *CardGateway) Reverse(_ context.Context, r *Receipt, amount money.Amount) error {
	if amount.Cents > r.Amount.Cents {
		return &DeclinedError{
			Code: 13, Reason: "more than was paid", Amount: amount, Limit: r.Amount,
			Details: map[string]string{"receipt": r.Number},
		}
	}
	return nil
}
