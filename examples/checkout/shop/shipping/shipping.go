// Package shipping knows what it costs to send a parcel.
package shipping

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/orders"
)

var tracer = otel.Tracer("checkout/shipping")

// Band is a range of weights with its prices.
type Band struct {
	MaxGrams int
	Cents    []int64 // by zone
}

// RateCard is the price list of a carrier.
type RateCard struct {
	Carrier string
	Bands   []Band
	// Surcharge is a factor by country and service.
	Surcharge map[string]map[string]float64
}

// Offer is what a carrier asks for an order.
type Offer struct {
	Carrier string
	Service string
	Band    int
	Price   money.Amount
	Label   string
}

// Offer returns what it costs to send the order.
func (c *RateCard) Offer(ctx context.Context, o *orders.Order, service string) (*Offer, error) {
	_, span := tracer.Start(ctx, "shipping.offer", trace.WithAttributes(
		attribute.String("order.id", o.ID), attribute.String("shipping.service", service)))
	defer span.End()

	grams := o.Grams()
	band, err := c.band(grams)
	if err != nil {
		return nil, fmt.Errorf("order %s: %w", o.ID, err)
	}
	address := o.Customer.Address
	cents, factor := c.rate(band, address.Zone, address.Country, service)
	price := money.EUR(int64(float64(cents) * factor))
	label := strings.ToUpper(fmt.Sprintf("%s %s, %d g", address.PostCode, address.City, grams))
	return &Offer{Carrier: c.Carrier, Service: service, Band: band, Price: price, Label: label}, nil
}

// band returns the number of the band for a weight.
func (c *RateCard) band(grams int) (int, error) {
	for i, b := range c.Bands {
		if grams <= b.MaxGrams {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s does not carry %d g", c.Carrier, grams)
}

// rate looks the price up, and the factor for the service.
func (c *RateCard) rate(band, zone int, country, service string) (int64, float64) {
	factor := 1.0
	if f, ok := c.Surcharge[country][service]; ok {
		factor = f
	}
	prices := c.Bands[band].Cents
	cents := prices[zone] // FAIL: index
	if service == "express" && band > 0 {
		cents += prices[0]
	}
	return cents, factor
}
