package e2e

import "github.com/otelcoredumpy/otelcoredumpy/dump"

// failure is one way in which the example fails, and what is then true.
type failure struct {
	name     string // of the subtest, and in the FAIL comment of the source
	scenario string
	nth      int // which of the scenario's lines
	trigger  dump.Trigger
	// reason is the expected reason chain: types (with S/ for the shop), and
	// what must be in the message, "" for anything.
	reason []reason
	// value is what the panic value, or the recorded error, looks like inside.
	value []check
	spans []string // that carry the dump's ID, the innermost first
	order string   // ID of the order that is watched
	// frames are the user frames inside the shop, the failing one first.
	frames []frame
}

type reason struct{ typ, message string }

// check is a path in a value and what must be there.
type check struct{ path, want string }

// frame is a function of the shop, with the line on which it stands (a part of
// its text; "" for the line with the FAIL comment), and its variables.
//
// vars has one line for each fact:
//
//	o.ID = "A-1002"     the value at that path
//	o = $A-1002         a group of facts, see groups
//	ctx : any           it is there; its value differs from run to run
//	span : type …       … but its dynamic type does not
//	off -               it has no value yet: a dump must not show one
//	off - 5             but the compiler may have made it one with a variable
//	                    that has, when it optimises
//
// A variable that is not named here is a mistake in the test or an invention
// of the dump. Results without names (~r0) may be there with their zero value.
type frame struct {
	fn   string // S/ is the shop
	at   string
	vars string
	// inlined by the compiler when it optimises
	inlined bool
	// atReturn marks a function that was returning: a deferred span.End runs.
	atReturn bool
}

// shopPath is what S/ stands for.
const shopPath = module + "/examples/checkout/shop"

const recordingSpan = "*go.opentelemetry.io/otel/sdk/trace.recordingSpan"

// groups are facts about values that turn up in many places; the variable's
// name comes in front of each line.
var groups = map[string]string{
	"server": `
		.orders.name = "orders"
		.orders.rows#len = 7
		.pricing.Campaign = "autumn"
		.pricing.Discounts#len = 2
		.pricing.Discounts[0]#type = *S/pricing.BulkDiscount
		.pricing.Discounts[0].MinUnits = 5
		.carrier.Carrier = "Northwind Parcel"
		.payments.attempts = 3
		.warehouse.City = "Leipzig"
		.warehouse.shelves["POT-2"] = 11
		.payments.gateway#type = *S/payment.CardGateway
		.payments.gateway.APIKey = redacted
		.payments.gateway.Endpoint = "https://northbank.example/v2"`,
	"processor": `
		.attempts = 3
		.gateway#type = *S/payment.CardGateway
		.gateway.Endpoint = "https://northbank.example/v2"
		.gateway.APIKey = redacted
		.gateway.Cards#len = 2
		.gateway.Cards[0].Limit = {Cents:100000 Currency:"EUR"}
		.gateway.Cards[0].Token = redacted
		.receipts.name = "receipts"
		.receipts.rows["A-1001"].Number = "R-0001"
		.receipts.rows["A-1001"].Amount = {Cents:6815 Currency:"EUR"}`,
	"warehouse": `
		.City = "Leipzig"
		.shelves#len = 3
		.shelves["CUP-7"] = 3
		.shelves["POT-2"] = 11
		.held#len = 1
		.held["A-1001"] = [{SKU:"TEA-100" Qty:4 Left:36} {SKU:"POT-2" Qty:1 Left:11}]`,
	"rates": `
		.Carrier = "Northwind Parcel"
		.Bands#len = 3
		.Bands[0] = {MaxGrams:500 Cents:[290 390 490 890]}
		.Bands[2] = {MaxGrams:10000 Cents:[690 890 1190 1990]}
		.Surcharge = map["DE":map["express":1.5] "NZ":map["economy":0.875 "express":2.25]]`,
	"ada": `
		.ID = "C-1"
		.Name = "Ada Lovelace"
		.Email = "ada@shop.example"
		.Address = {Street:"St James's Square 12" City:"London" PostCode:"SW1Y 4LE" Country:"GB" Zone:2}
		.Card = &{Number:"L-1815" Points:340 Level:{Name:"gold" Percent:5}}
		.Tags = ["member" "newsletter"]
		.Settings = map["offers":map["email":true] "orders":map["email":true "sms":false]]`,
	"grace": `
		.ID = "C-2"
		.Name = "Grace Hopper"
		.Email = "grace@shop.example"
		.City = "Auckland"
		.Address = {Street:"Harbour Road 9" City:"Auckland" PostCode:"1010" Country:"NZ" Zone:4}
		.Card = nil
		.Tags = ["guest"]
		.Settings = map["orders":map["email":true]]`,
	"A-1001": `
		.ID = "A-1001"
		.Number = 1001
		.Customer = $ada
		.Status = 2
		.Lines#len = 2
		.Lines[0] = {SKU:"TEA-100" Title:"Assam, 100 g" Qty:4 Price:{Cents:690 Currency:"EUR"} Grams:130 Digital:false}
		.Notes = map["kim/2":"gift wrap"]
		.History#len = 2
		.History[1].What = "note 2: kim/2"
		.History[1].By = "kim"`,
	"A-1002": `
		.ID = "A-1002"
		.Number = 1002
		.Customer = $grace
		.Status = 1
		.Lines#len = 3
		.Lines[1] = {SKU:"GIFT-25" Title:"Voucher" Qty:2 Price:{Cents:2500 Currency:"EUR"} Grams:0 Digital:true}
		.Lines[2].SKU = "CUP-7"
		.Notes = map[]
		.History#len = 1
		.History[0].What = "placed"
		.History[0].By = "Grace Hopper"`,
	"A-1003": `
		.ID = "A-1003"
		.Number = 1003
		.Customer = $grace
		.Status = 1
		.Lines#len = 2
		.Lines[0].Title = "Teapot, 1.2 l"
		.Lines[1].Qty = 2
		.Notes = map[]`,
	"A-1004": `
		.ID = "A-1004"
		.Number = 1004
		.Customer = $ada
		.Status = 1
		.Lines = [{SKU:"CUP-7" Title:"Cup, blue" Qty:1 Price:{Cents:1250 Currency:"EUR"} Grams:310 Digital:false}]
		.Notes = nil
		.History#len = 1`,
	"A-1005": `
		.ID = "A-1005"
		.Number = 1005
		.Customer = $grace
		.Status = 1
		.Lines#len = 2
		.Lines[0].Price = {Cents:3900 Currency:"EUR"}`,
	"A-1006": `
		.ID = "A-1006"
		.Number = 1006
		.Customer = $ada
		.Lines#len = 2
		.Lines[0].Qty = 1
		.Lines[1].Qty = 5`,
	"A-1007": `
		.ID = "A-1007"
		.Number = 1007
		.Customer = $ada
		.Lines = [{SKU:"GIFT-25" Title:"Voucher" Qty:3 Price:{Cents:2500 Currency:"EUR"} Grams:0 Digital:true}]`,
	"refused": `
		#type = *fmt.wrapError
		.msg = "authorize 92.05 EUR, attempt 3: declined with code 51: insufficient funds"
		.err#type = *S/payment.DeclinedError
		.err = &{Code:51 Reason:"insufficient funds" Amount:{Cents:9205 Currency:"EUR"} Limit:{Cents:5000 Currency:"EUR"} Details:map["bank":"Example Bank" "order":"A-1005"]}`,
	"notReversed": `
		#type = *fmt.wrapError
		.msg = "refund 150% of order A-1001: reverse receipt R-0001: declined with code 13: more than was paid"
		.err#type = *fmt.wrapError
		.err.msg = "reverse receipt R-0001: declined with code 13: more than was paid"
		.err.err = &{Code:13 Reason:"more than was paid" Amount:{Cents:9990 Currency:"EUR"} Limit:{Cents:6815 Currency:"EUR"} Details:map["receipt":"R-0001"]}`,
}

// onOrder is the frame of the HTTP handler, the same in every failure.
func onOrder(method, path, id string) frame {
	return frame{
		fn: "S.onOrder[...].func1", at: "answer, err := do(ctx, order, r)",
		vars: `
			w : any
			r.Method = "` + method + `"
			r.URL.Path = "` + path + `"
			s = $server
			do : any
			id = "` + id + `"
			order = $` + id + `
			err = nil
			ctx : any
			answer -`,
	}
}

var failures = []failure{
	{
		name: "nil-deref", scenario: "nil-deref", trigger: dump.TriggerPanic,
		reason: []reason{{"runtime.errorString", "invalid memory address or nil pointer dereference"}},
		spans:  []string{"pricing.quote", "GET /orders/A-1002/quote"},
		order:  "A-1002",
		frames: []frame{
			{fn: "S/orders.(*Customer).Bonus", inlined: true, vars: `
				c = $grace
				cents = 4351
				card = nil
				percent -`},
			{fn: "S/pricing.(*LoyaltyDiscount).Off", at: "points := o.Customer.Bonus", vars: `
				d.MaxPercent = 20
				d.Excluded = map["GIFT-25":true]
				o = $A-1002
				amount = {Cents:9351 Currency:"EUR"}
				units = 7
				limit = {Cents:1870 Currency:"EUR"}
				eligible = {Cents:4351 Currency:"EUR"}
				points -
				off -`},
			{fn: "S/pricing.(*Engine).Quote", at: "off := discount.Off(o, rest)", vars: `
				e.Campaign = "autumn"
				e.Discounts#len = 2
				e.Discounts[1].MaxPercent = 20
				ctx : any
				o = $A-1002
				span : type ` + recordingSpan + `
				subtotal = {Cents:10390 Currency:"EUR"}
				quote = &{OrderID:"A-1002" Campaign:"autumn" Subtotal:{Cents:10390 Currency:"EUR"} Total:{Cents:0 Currency:""} Steps:[{Index:0 Rule:"bulk" Off:{Cents:1039 Currency:"EUR"}}]}
				rest = {Cents:9351 Currency:"EUR"}
				i = 1
				discount#type = *S/pricing.LoyaltyDiscount
				discount.MaxPercent = 20
				off -
				step -`},
			{fn: "S.(*Server).quote", at: "quote, err := s.pricing.Quote(ctx, o)", vars: `
				s = $server
				ctx : any
				o = $A-1002
				quote -
				err -`},
			onOrder("GET", "/orders/A-1002/quote", "A-1002"),
		},
	},
	{
		name: "index", scenario: "index", trigger: dump.TriggerPanic,
		reason: []reason{{"runtime.boundsError", "index out of range [4] with length 4"}},
		spans:  []string{"shipping.offer", "GET /orders/A-1003/shipping"},
		order:  "A-1003",
		frames: []frame{
			{fn: "S/shipping.(*RateCard).rate", inlined: true, vars: `
				c = $rates
				band = 1
				zone = 4
				country = "NZ"
				service = "express"
				factor = 2.25
				prices = [490 590 790 1290]
				f - 2.25
				ok - true
				cents -`},
			{fn: "S/shipping.(*RateCard).Offer", at: "cents, factor := c.rate(", vars: `
				c = $rates
				ctx : any
				o = $A-1003
				service = "express"
				span : type ` + recordingSpan + `
				grams = 1410
				band = 1
				err = nil
				address = {Street:"Harbour Road 9" City:"Auckland" PostCode:"1010" Country:"NZ" Zone:4}
				cents -
				factor - 2.25
				price -
				label -`},
			{fn: "S.(*Server).shipping", at: "offer, err := s.carrier.Offer(", vars: `
				s = $server
				ctx : any
				o = $A-1003
				r.Method = "GET"
				r.URL.RawQuery = "service=express"
				service = "express"
				offer -
				err -`},
			onOrder("GET", "/orders/A-1003/shipping", "A-1003"),
		},
	},
	{
		name: "nil-map", scenario: "nil-map", trigger: dump.TriggerPanic,
		reason: []reason{{"", "assignment to entry in nil map"}},
		spans:  []string{"orders.note", "POST /orders/A-1004/notes"},
		order:  "A-1004",
		frames: []frame{
			{fn: "S/orders.(*Order).Annotate", vars: `
				o = $A-1004
				author = "sam"
				text = "call before delivery"
				seq = 2
				key = "sam/2"
				what -`},
			{fn: "S.(*Server).note.func1", at: "count = row.Annotate(author, text)", vars: `
				row = $A-1004
				author = "sam"
				text = "call before delivery"
				count = 0`},
			{fn: "S/store.(*Table[...]).Update", at: "if err := change(row); err != nil", vars: `
				t.name = "orders"
				t.rows#len = 7
				t.rows["A-1004"].Number = 1004
				t.writes = 8
				key = "A-1004"
				change : any
				row = $A-1004
				ok = true
				before = 8
				err -`},
			{fn: "S.(*Server).note", at: "err := s.orders.Update(", vars: `
				s = $server
				ctx : any
				o = $A-1004
				r.Method = "POST"
				r.URL.RawQuery = "author=sam&text=call+before+delivery"
				span : type ` + recordingSpan + `
				author = "sam"
				text = "call before delivery"
				count = 0
				err -`},
			onOrder("POST", "/orders/A-1004/notes", "A-1004"),
		},
	},
	{
		name: "custom-panic", scenario: "custom-panic", trigger: dump.TriggerPanic,
		reason: []reason{
			{"*fmt.wrapError", "charge order A-1005: authorize 92.05 EUR, attempt 3: declined with code 51: insufficient funds"},
			{"*fmt.wrapError", "authorize 92.05 EUR, attempt 3: declined with code 51: insufficient funds"},
			{"*S/payment.DeclinedError", ""},
		},
		value: []check{
			{"#type", "*fmt.wrapError"},
			{".err#type", "*fmt.wrapError"},
			{".err.err#type", "*S/payment.DeclinedError"},
			{".err.err.Code", "51"},
			{".err.err.Limit", `{Cents:5000 Currency:"EUR"}`},
			{".err.err.Details", `map["bank":"Example Bank" "order":"A-1005"]`},
		},
		spans: []string{"payment.charge", "orders.pay", "POST /orders/A-1005/pay"},
		order: "A-1005",
		frames: []frame{
			{fn: "S/payment.(*Processor).MustCharge", vars: `
				p = $processor
				ctx : any
				o = $A-1005
				amount = {Cents:9205 Currency:"EUR"}
				span : type ` + recordingSpan + `
				cardToken = redacted
				receipt = nil
				err = $refused`},
			{fn: "S.(*Server).pay", at: "receipt := s.payments.MustCharge(", vars: `
				s = $server
				ctx : any
				o = $A-1005
				span : type ` + recordingSpan + `
				fees = map["card":{Cents:35 Currency:"EUR"} "packing":{Cents:120 Currency:"EUR"}]
				amount = {Cents:9205 Currency:"EUR"}
				before = 1
				receipt -`},
			onOrder("POST", "/orders/A-1005/pay", "A-1005"),
		},
	},
	{
		name: "error-span-leaf", scenario: "error-span", trigger: dump.TriggerErrorSpan,
		reason: []reason{{"*S/stock.ShortageError", ""}},
		value: []check{
			{"#type", "*S/stock.ShortageError"},
			{"", `&{SKU:"CUP-7" Want:5 Have:3}`},
		},
		spans: []string{"stock.reserve"},
		order: "A-1006",
		frames: []frame{
			{fn: "S/stock.(*Warehouse).take", vars: `
				w = $warehouse
				w.shelves["TEA-100"] = 35
				ctx : any
				sku = "CUP-7"
				qty = 5
				have = 3
				err = &{SKU:"CUP-7" Want:5 Have:3}`},
			{fn: "S/stock.(*Warehouse).hold", at: "left, err := w.take(", vars: `
				w = $warehouse
				ctx : any
				lines#len = 2
				lines[0].SKU = "TEA-100"
				lines[1].Qty = 5
				holds = [{SKU:"TEA-100" Qty:1 Left:35}]
				holds#cap = 2
				i = 1
				line = {SKU:"CUP-7" Title:"Cup, blue" Qty:5 Price:{Cents:1250 Currency:"EUR"} Grams:310 Digital:false}
				left -
				err -`},
			{fn: "S/stock.(*Warehouse).Reserve", at: "holds, err := w.hold(", vars: `
				w = $warehouse
				ctx : any
				o = $A-1006
				span : type ` + recordingSpan + `
				holds -
				err -`},
			{fn: "S.(*Server).reserve", at: "held, err := s.warehouse.Reserve(", vars: `
				s = $server
				ctx : any
				o = $A-1006
				held -
				err -`},
			onOrder("POST", "/orders/A-1006/reserve", "A-1006"),
		},
	},
	{
		name: "error-span", scenario: "error-span", nth: 1, trigger: dump.TriggerErrorSpan,
		// Nobody handed the error over: of it there is what the span has.
		reason: []reason{{"*fmt.wrapError", "refund 150% of order A-1001: reverse receipt R-0001: declined with code 13: more than was paid"}},
		spans:  []string{"payment.refund", "POST /orders/A-1001/refund"},
		order:  "A-1001",
		frames: []frame{
			{fn: "S/payment.(*Processor).Refund", atReturn: true, vars: `
				p = $processor
				ctx : any
				o = $A-1001
				percent = 150
				span : type ` + recordingSpan + `
				amount = {Cents:9990 Currency:"EUR"}
				err = $notReversed
				~r0 = {Cents:0 Currency:""}
				~r1 = $notReversed`},
			{fn: "S.(*Server).refund", at: "amount, err := s.payments.Refund(", vars: `
				s = $server
				ctx : any
				o = $A-1001
				r.URL.RawQuery = "percent=150"
				percent = 150
				err = nil
				amount -`},
			onOrder("POST", "/orders/A-1001/refund", "A-1001"),
		},
	},
	{
		name: "goroutine", scenario: "goroutine", trigger: dump.TriggerPanic,
		reason: []reason{{"", "integer divide by zero"}},
		spans:  []string{"stock.pack"},
		order:  "A-1007",
		frames: []frame{
			{fn: "S/stock.(*Warehouse).pack", vars: `
				w = $warehouse
				ctx : any
				o = $A-1007
				station = 1
				span : type ` + recordingSpan + `
				articles#len = 0
				articles#cap = 8
				boxes = 0
				spare = map["GIFT-25":3]
				label = "Leipzig/1"
				perBox -
				parcel -`},
			{fn: "S/stock.(*Warehouse).Pack.func1", at: "parcel := w.pack(ctx, o, i+1)", vars: `
				ctx : any
				w = $warehouse
				o = $A-1007
				i = 0
				parcels#len = 0
				parcels#cap = 1
				parcel -`},
		},
	},
}
