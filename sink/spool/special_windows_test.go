package spool

import "testing"

// special returns foreign things that only some systems have.
func special(*testing.T) map[string]func(path string) error { return nil }
