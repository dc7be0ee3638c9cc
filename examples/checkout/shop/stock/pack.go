package stock

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
)

// Parcel is an order in boxes.
type Parcel struct {
	OrderID string
	Boxes   [][]string // the articles of each box
	PerBox  int
}

// Pack packs orders, each in a goroutine of its own. The parcels come in the
// order in which they are ready.
func (w *Warehouse) Pack(ctx context.Context, batch []*orders.Order) <-chan *Parcel {
	parcels := make(chan *Parcel, len(batch))
	for i, o := range batch {
		otelcoredumpy.Go(ctx, func(ctx context.Context) {
			parcel := w.pack(ctx, o, i+1)
			parcels <- parcel
		})
	}
	return parcels
}

func (w *Warehouse) pack(ctx context.Context, o *orders.Order, station int) *Parcel {
	_, span := tracer.Start(ctx, "stock.pack", trace.WithAttributes(
		attribute.String("order.id", o.ID), attribute.Int("pack.station", station)))
	defer span.End()

	articles := make([]string, 0, 8)
	boxes, spare := 0, map[string]int{}
	for _, line := range o.Lines {
		if line.Digital {
			spare[line.SKU] += line.Qty
			continue
		}
		boxes = max(boxes, (line.Qty+1)/2)
		for range line.Qty {
			articles = append(articles, line.SKU)
		}
	}
	label := fmt.Sprintf("%s/%d", w.City, station)
	perBox := (o.Units() + boxes - 1) / boxes // FAIL: goroutine
	parcel := &Parcel{OrderID: o.ID, PerBox: perBox}
	for len(articles) > 0 {
		n := min(perBox, len(articles))
		parcel.Boxes = append(parcel.Boxes, articles[:n])
		articles = articles[n:]
	}
	span.SetAttributes(attribute.String("pack.label", label), attribute.Int("pack.spare", len(spare)))
	return parcel
}
