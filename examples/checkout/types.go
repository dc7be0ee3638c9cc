package main

import (
	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money"
)

// Dumps show an amount of money as people write it, "12.50 EUR", besides its fields. It is
// registered before main calls Install. (docs/types.md)
func init() {
	err := capture.RegisterType("github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop/money.Amount", capture.TypeSupport{
		Describe: func(v capture.View, d *capture.Description) {
			cents, ok := v.Field("Cents").Int()
			currency, _, ok2 := v.Field("Currency").Text()
			if ok && ok2 {
				// String is called on a copy that is made here, not on the program's value.
				d.Summary(money.Amount{Cents: cents, Currency: currency}.String())
			}
		},
	})
	if err != nil {
		panic(err) // the pattern is wrong: a mistake in this file
	}
}
