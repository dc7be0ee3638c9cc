// Package stock is the shop's warehouse: what is there, and packing it.
package stock

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
)

var tracer = otel.Tracer("checkout/stock")

// ShortageError says that there is too little of an article.
type ShortageError struct {
	SKU  string
	Want int
	Have int
}

func (e *ShortageError) Error() string {
	return fmt.Sprintf("want %d of %s, have %d", e.Want, e.SKU, e.Have)
}

// Warehouse counts articles.
type Warehouse struct {
	City string

	mu      sync.Mutex
	shelves map[string]int    // SKU: pieces
	held    map[string][]Hold // order ID: what is kept for it
}

// Hold is some pieces that are kept for an order.
type Hold struct {
	SKU  string
	Qty  int
	Left int // on the shelf
}

// NewWarehouse returns a warehouse with the given pieces of each article.
func NewWarehouse(city string, shelves map[string]int) *Warehouse {
	return &Warehouse{City: city, shelves: shelves, held: make(map[string][]Hold)}
}

// Reserve keeps the articles of an order for it.
func (w *Warehouse) Reserve(ctx context.Context, o *orders.Order) (int, error) {
	ctx, span := tracer.Start(ctx, "stock.reserve", trace.WithAttributes(attribute.String("order.id", o.ID)))
	defer span.End()

	w.mu.Lock()
	defer w.mu.Unlock()
	holds, err := w.hold(ctx, o.Lines)
	if err != nil {
		err = fmt.Errorf("reserve order %s: %w", o.ID, err)
		span.SetStatus(codes.Error, err.Error())
		return 0, err
	}
	w.held[o.ID] = append(w.held[o.ID], holds...)
	return len(holds), nil
}

func (w *Warehouse) hold(ctx context.Context, lines []orders.Line) ([]Hold, error) {
	holds := make([]Hold, 0, len(lines))
	for i, line := range lines {
		left, err := w.take(ctx, line.SKU, line.Qty)
		if err != nil {
			w.putBack(holds)
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		holds = append(holds, Hold{SKU: line.SKU, Qty: line.Qty, Left: left})
	}
	return holds, nil
}

// take removes pieces from the shelf and returns how many are left.
func (w *Warehouse) take(ctx context.Context, sku string, qty int) (int, error) {
	have := w.shelves[sku]
	if have < qty {
		err := &ShortageError{SKU: sku, Want: qty, Have: have}
		otelcoredumpy.RecordError(ctx, err) // FAIL: error-span-leaf
		return have, err
	}
	w.shelves[sku] = have - qty
	return have - qty, nil
}

func (w *Warehouse) putBack(holds []Hold) {
	for _, h := range holds {
		w.shelves[h.SKU] += h.Qty
	}
}
