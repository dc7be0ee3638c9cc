package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// checkStoreURL checks the URL of a store; "" is none.
func checkStoreURL(s string) error {
	if s == "" {
		return nil
	}
	_, err := sink.ParseURL(s)
	return err
}

func checkRoute(s string) error {
	_, _, err := parseRoute(s)
	return err
}

// parseRoute reads "panic=s3://bucket/panics".
func parseRoute(s string) (dump.Trigger, string, error) {
	name, rawURL, ok := strings.Cut(s, "=")
	t := dump.Trigger(strings.ReplaceAll(strings.TrimSpace(name), "-", "_"))
	if !ok || !slices.Contains(dump.Triggers(), t) {
		return "", "", fmt.Errorf("want trigger=URL with one of the triggers %s", triggerNames())
	}
	rawURL = strings.TrimSpace(rawURL)
	if _, err := sink.ParseURL(rawURL); err != nil {
		return "", "", err
	}
	return t, rawURL, nil
}

// routes returns sink.routes by trigger.
func (c *Config) routes() (map[dump.Trigger]string, error) {
	m := make(map[dump.Trigger]string)
	for _, r := range c.Sink.Routes {
		t, rawURL, err := parseRoute(r)
		if err != nil {
			return nil, err
		}
		if m[t] != "" {
			return nil, fmt.Errorf("trigger %s has two routes", t)
		}
		m[t] = rawURL
	}
	return m, nil
}

func triggerNames() string {
	var names []string
	for _, t := range dump.Triggers() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

func checkRule(s string) error {
	_, err := exporter.ParseRule(s)
	return err
}

func checkSSE(s string) error {
	switch s {
	case "", "AES256", "aws:kms":
		return nil
	}
	return fmt.Errorf("want AES256 or aws:kms, have %q", s)
}

func checkTag(s string) error {
	if k, _, ok := strings.Cut(s, "="); !ok || k == "" {
		return fmt.Errorf("want key=value, have %q", s)
	}
	return nil
}
