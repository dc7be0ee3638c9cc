package main

import (
	"context"
	"database/sql/driver"
	"errors"
	mathrand "math/rand"
)

// randv1 is what big.Int's Rand wants.
type randv1 = mathrand.Rand

func randSource() *randv1 { return mathrand.New(mathrand.NewSource(rnd.Int64())) }

// connector is a database that cannot be reached.
type connector struct{}

func (connector) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("no") }
func (connector) Driver() driver.Driver                        { return nil }
