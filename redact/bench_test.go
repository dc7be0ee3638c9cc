package redact

import (
	"fmt"
	"strings"
	"testing"
)

// prose is text without a secret: English, identifiers, a log line, JSON.
var prose = strings.Repeat(`The order could not be shipped because the warehouse reported that three of its items were out of stock.
github.com/acme/shop/internal/fulfilment.(*Planner).reserveStockForShipment planner.go:118 customerName=Ada Lovelace
{"order_id":"A-10023","customer":{"name":"Grace Hopper","city":"Arlington"},"items":[{"sku":"TX-2200","qty":3}],"total":129.95}
2026-11-23T03:20:00Z INFO checkout request_id=0190163d-8694-739b-aea5-966c26f8ad91 status=502 duration=118ms upstream=warehouse-2
`, 64)

func benchEngine(b *testing.B) *Engine {
	b.Helper()
	return newTestEngine(b, func(c *Config) {
		for i := range 40 {
			c.Env = append(c.Env, fmt.Sprintf("APP_SETTING_%d=%s", i, word(byte(i), 24, alnum)))
		}
	})
}

func BenchmarkApplyProse(b *testing.B) {
	e := benchEngine(b)
	b.SetBytes(int64(len(prose)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := e.Apply(Text{Value: prose}); found != nil {
			b.Fatal(found)
		}
	}
}

func BenchmarkApplyIdentifiers(b *testing.B) {
	e := benchEngine(b)
	texts := strings.Fields(strings.Repeat(`reserveStockForShipment warehouse-2 A-10023 Grace_Hopper application/json
		github.com/acme/shop/internal/fulfilment 0190163d-8694-739b-aea5-966c26f8ad91 2026-11-23T03:20:00Z`, 32))
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range texts {
			if _, found := e.Apply(Text{Value: t, Name: "description"}); found != nil {
				b.Fatal(found)
			}
		}
	}
}

func BenchmarkApplyShort(b *testing.B) {
	e := benchEngine(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Apply(Text{Value: "A-10023", Name: "orderID"})
	}
}

func BenchmarkApplyZeros(b *testing.B) {
	e := benchEngine(b)
	s := strings.Repeat("\x00", 64<<10)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		e.Apply(Text{Value: s, Site: SiteBytes})
	}
}

func BenchmarkApplySecrets(b *testing.B) {
	e := benchEngine(b)
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "request %d from 10.0.0.%d to https://api.example.com/v1/items\n", i, i%256)
		switch i % 4 {
		case 0:
			fmt.Fprintf(&text, "password=%s&user=bob\n", word(byte(i), 12, alnum))
		case 1:
			fmt.Fprintf(&text, "Authorization: Bearer %s\n", word(byte(i), 40, alnum))
		case 2:
			fmt.Fprintf(&text, "postgres://bob:%s@db:5432/shop\n", word(byte(i), 16, alnum))
		case 3:
			fmt.Fprintf(&text, "%s%s is gone\n", "gh"+"p_", word(byte(i), 36, alnum))
		}
	}
	s := text.String()
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := e.Apply(Text{Value: s}); len(found) != 400 {
			b.Fatal(len(found))
		}
	}
}

func BenchmarkSecretName(b *testing.B) {
	e := benchEngine(b)
	b.ReportAllocs()
	for b.Loop() {
		e.SecretName("AWSSecretAccessKey")
	}
}

func BenchmarkSecretNameUncached(b *testing.B) {
	e := benchEngine(b)
	b.ReportAllocs()
	for b.Loop() {
		e.names.classify("AWSSecretAccessKey")
	}
}

func BenchmarkRefreshEnvironSame(b *testing.B) {
	e := benchEngine(b)
	env := make([]string, 100)
	for i := range env {
		env[i] = fmt.Sprintf("SETTING_%d=%s", i, word(byte(i), 30, alnum))
	}
	for b.Loop() {
		e.RefreshEnviron(env)
	}
}

func BenchmarkRefreshEnvironChanged(b *testing.B) {
	e := benchEngine(b)
	env := make([]string, 100)
	for i := range env {
		env[i] = fmt.Sprintf("SETTING_%d=%s", i, word(byte(i), 30, alnum))
	}
	e.RefreshEnviron(env)
	n := 0
	for b.Loop() {
		n++
		env[0] = fmt.Sprintf("SETTING_0=changed-%d", n)
		e.RefreshEnviron(env)
	}
}
