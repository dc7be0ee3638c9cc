package shop

import (
	"log/slog"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/payment"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/pricing"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/shipping"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/stock"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/store"
)

// The shop's secrets, as far as a made-up shop has any. No dump may hold them.
const (
	gatewayKey = "northbank-9f27c1e0d44b"
	adaToken   = "card-5105-ada"
	graceToken = "card-4111-grace"
)

// New returns a shop with its customers and orders.
func New(log *slog.Logger) *Server {
	s := &Server{
		log:    log,
		orders: store.NewTable[string, *orders.Order]("orders"),
		pricing: &pricing.Engine{
			Campaign: "autumn",
			Discounts: []pricing.Discount{
				&pricing.BulkDiscount{MinUnits: 5, Percent: 10},
				&pricing.LoyaltyDiscount{MaxPercent: 20, Excluded: map[string]bool{"GIFT-25": true}},
			},
		},
		carrier: &shipping.RateCard{
			Carrier: "Northwind Parcel",
			Bands: []shipping.Band{
				{MaxGrams: 500, Cents: []int64{290, 390, 490, 890}},
				{MaxGrams: 2000, Cents: []int64{490, 590, 790, 1290}},
				{MaxGrams: 10000, Cents: []int64{690, 890, 1190, 1990}},
			},
			Surcharge: map[string]map[string]float64{
				"DE": {"express": 1.5},
				"NZ": {"express": 2.25, "economy": 0.875},
			},
		},
		payments: payment.NewProcessor(
			&payment.CardGateway{
				Endpoint: "https://northbank.example/v2",
				APIKey:   gatewayKey,
				Cards: []payment.Card{
					{Token: adaToken, Limit: money.EUR(100_000)},
					{Token: graceToken, Limit: money.EUR(5_000)},
				},
			},
			3,
			map[string]string{"C-1": adaToken, "C-2": graceToken},
		),
		warehouse: stock.NewWarehouse("Leipzig", map[string]int{"TEA-100": 40, "CUP-7": 3, "POT-2": 12}),
	}
	for _, o := range seedOrders() {
		s.orders.Put(o.ID, o)
	}
	return s
}

func seedOrders() []*orders.Order {
	ada := &orders.Customer{
		ID: "C-1", Name: "Ada Lovelace", Email: "ada@shop.example",
		Address: orders.Address{Street: "St James's Square 12", City: "London", PostCode: "SW1Y 4LE", Country: "GB", Zone: 2},
		Card:    &orders.LoyaltyCard{Number: "L-1815", Points: 340, Level: orders.Level{Name: "gold", Percent: 5}},
		Tags:    []string{"member", "newsletter"},
		Settings: map[string]map[string]bool{
			"orders": {"email": true, "sms": false},
			"offers": {"email": true},
		},
	}
	grace := &orders.Customer{
		ID: "C-2", Name: "Grace Hopper", Email: "grace@shop.example",
		Address:  orders.Address{Street: "Harbour Road 9", City: "Auckland", PostCode: "1010", Country: "NZ", Zone: 4},
		Tags:     []string{"guest"},
		Settings: map[string]map[string]bool{"orders": {"email": true}},
	}

	tea := orders.Line{SKU: "TEA-100", Title: "Assam, 100 g", Price: money.EUR(690), Grams: 130}
	cup := orders.Line{SKU: "CUP-7", Title: "Cup, blue", Price: money.EUR(1250), Grams: 310}
	pot := orders.Line{SKU: "POT-2", Title: "Teapot, 1.2 l", Price: money.EUR(3900), Grams: 1150}
	gift := orders.Line{SKU: "GIFT-25", Title: "Voucher", Price: money.EUR(2500), Digital: true}

	day := time.Date(2026, time.November, 2, 9, 30, 0, 0, time.UTC)
	newOrder := func(number int, id string, c *orders.Customer, lines ...orders.Line) *orders.Order {
		placed := day.Add(time.Duration(number-1000) * time.Hour)
		return &orders.Order{
			ID: id, Number: number, Customer: c, Lines: lines, Status: orders.Placed, Placed: placed,
			Notes:   map[string]string{},
			History: []orders.Event{{At: placed, What: "placed", By: c.Name}},
		}
	}
	legacy := newOrder(1004, "A-1004", ada, qty(cup, 1))
	legacy.Notes = nil // the old shop had no notes
	return []*orders.Order{
		newOrder(1001, "A-1001", ada, qty(tea, 4), qty(pot, 1)),
		newOrder(1002, "A-1002", grace, qty(tea, 6), qty(gift, 2), qty(cup, 1)),
		newOrder(1003, "A-1003", grace, qty(pot, 1), qty(tea, 2)),
		legacy,
		newOrder(1005, "A-1005", grace, qty(pot, 2), qty(cup, 1)),
		newOrder(1006, "A-1006", ada, qty(tea, 1), qty(cup, 5)),
		newOrder(1007, "A-1007", ada, qty(gift, 3)),
	}
}

func qty(l orders.Line, n int) orders.Line {
	l.Qty = n
	return l
}
