package orders

// Address is where a customer lives.
type Address struct {
	Street   string
	City     string
	PostCode string
	Country  string
	Zone     int // of the shipping rates
}

// Level is a rank of the loyalty programme.
type Level struct {
	Name    string
	Percent int64 // of an amount that comes back as points
}

// LoyaltyCard belongs to a member of the loyalty programme.
type LoyaltyCard struct {
	Number string
	Points int64
	Level  Level
}

// Customer is somebody who orders.
type Customer struct {
	ID    string
	Name  string
	Email string
	Address
	Card     *LoyaltyCard // nil for guests
	Tags     []string
	Settings map[string]map[string]bool // topic, channel: wanted
}

// Bonus returns the points that an amount of cents is worth to the customer.
// The compiler inlines it.
func (c *Customer) Bonus(cents int64) int64 {
	card := c.Card
	percent := card.Level.Percent // FAIL: nil-deref
	return card.Points + cents*percent/100
}
