// Package shop is a small shop with an HTTP interface, made to fail. Its data
// is fixed, so that a test knows which value each variable has when it does;
// the comments "FAIL: <scenario>" mark the lines at which it does.
package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/payment"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/pricing"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/shipping"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/stock"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/store"
)

var tracer = otel.Tracer("checkout/shop")

// Server answers the shop's requests.
type Server struct {
	log       *slog.Logger
	orders    *store.Table[string, *orders.Order]
	pricing   *pricing.Engine
	carrier   *shipping.RateCard
	payments  *payment.Processor
	warehouse *stock.Warehouse
}

// Handler returns the shop's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("GET /orders/{id}/quote", onOrder(s, s.quote))
	mux.HandleFunc("GET /orders/{id}/shipping", onOrder(s, s.shipping))
	mux.HandleFunc("POST /orders/{id}/notes", onOrder(s, s.note))
	mux.HandleFunc("POST /orders/{id}/pay", onOrder(s, s.pay))
	mux.HandleFunc("POST /orders/{id}/reserve", onOrder(s, s.reserve))
	mux.HandleFunc("POST /orders/{id}/refund", onOrder(s, s.refund))
	mux.HandleFunc("POST /orders/{id}/pack", onOrder(s, s.pack))
	return mux
}

// onOrder makes a handler of a function that does something with one order.
func onOrder[T any](s *Server, do func(context.Context, *orders.Order, *http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		order, err := s.orders.Get(id)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		ctx := otelcoredumpy.Watch(r.Context(), "order", order)
		answer, err := do(ctx, order, r)
		if err != nil {
			s.fail(w, r, fmt.Errorf("order %s: %w", id, err))
			return
		}
		s.answer(w, r, http.StatusOK, answer)
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, http.StatusOK, s.orders.Keys())
}

func (s *Server) quote(ctx context.Context, o *orders.Order, _ *http.Request) (*pricing.Quote, error) {
	quote, err := s.pricing.Quote(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	s.log.DebugContext(ctx, "quoted", "order", o.ID, "total", quote.Total)
	return quote, nil
}

func (s *Server) shipping(ctx context.Context, o *orders.Order, r *http.Request) (*shipping.Offer, error) {
	service := r.FormValue("service")
	offer, err := s.carrier.Offer(ctx, o, service)
	if err != nil {
		return nil, fmt.Errorf("offer of %s: %w", service, err)
	}
	s.log.DebugContext(ctx, "offered", "order", o.ID, "price", offer.Price)
	return offer, nil
}

func (s *Server) note(ctx context.Context, o *orders.Order, r *http.Request) (int, error) {
	ctx, span := tracer.Start(ctx, "orders.note", trace.WithAttributes(attribute.String("order.id", o.ID)))
	defer span.End()

	author, text := r.FormValue("author"), r.FormValue("text")
	var count int
	err := s.orders.Update(o.ID, func(row *orders.Order) error {
		if text == "" {
			return errors.New("an empty note")
		}
		count = row.Annotate(author, text)
		return nil
	})
	s.log.DebugContext(ctx, "noted", "order", o.ID, "author", author, "notes", count)
	return count, err
}

func (s *Server) pay(ctx context.Context, o *orders.Order, _ *http.Request) (*payment.Receipt, error) {
	ctx, span := tracer.Start(ctx, "orders.pay", trace.WithAttributes(attribute.String("order.id", o.ID)))
	defer span.End()

	fees := map[string]money.Amount{"card": money.EUR(35), "packing": money.EUR(120)}
	amount := o.Total()
	for _, fee := range fees {
		amount = amount.Plus(fee)
	}
	before := o.Status
	receipt := s.payments.MustCharge(ctx, o, amount)
	o.Status = orders.Paid
	s.log.DebugContext(ctx, "paid", "order", o.ID, "before", before, "receipt", receipt.Number, "fees", len(fees))
	return receipt, nil
}

func (s *Server) reserve(ctx context.Context, o *orders.Order, _ *http.Request) (int, error) {
	held, err := s.warehouse.Reserve(ctx, o)
	if err != nil {
		return 0, fmt.Errorf("reserve: %w", err)
	}
	s.log.DebugContext(ctx, "reserved", "order", o.ID, "lines", held)
	return held, nil
}

func (s *Server) refund(ctx context.Context, o *orders.Order, r *http.Request) (money.Amount, error) {
	percent, err := strconv.ParseInt(r.FormValue("percent"), 10, 64)
	if err != nil {
		return money.Amount{}, fmt.Errorf("percent: %w", err)
	}
	amount, err := s.payments.Refund(ctx, o, percent)
	if err != nil {
		return amount, fmt.Errorf("refund: %w", err)
	}
	s.log.DebugContext(ctx, "refunded", "order", o.ID, "amount", amount)
	return amount, nil
}

func (s *Server) pack(ctx context.Context, o *orders.Order, _ *http.Request) (*stock.Parcel, error) {
	select {
	case parcel := <-s.warehouse.Pack(ctx, []*orders.Order{o}):
		s.log.DebugContext(ctx, "packed", "order", o.ID, "boxes", len(parcel.Boxes))
		return parcel, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.log.WarnContext(r.Context(), "answer not sent", "err", err)
	}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	var notFound *store.NotFoundError
	var shortage *stock.ShortageError
	switch {
	case errors.As(err, &notFound):
		status = http.StatusNotFound
	case errors.As(err, &shortage):
		status = http.StatusConflict
	}
	s.log.InfoContext(r.Context(), "request failed", "path", r.URL.Path, "status", status, "err", err)
	s.answer(w, r, status, map[string]string{"error": err.Error()})
}
