package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// storeOf opens the store that an address leads into. If that is the configured
// one, it is that, so that a dump is found that waits for its upload here. A
// bucket that the configuration does not name is taken to be at the endpoint, in
// the region and open for the credentials that it has for another.
func (f *finder) storeOf(ctx context.Context, a *address) (*opened, error) {
	key := a.base + "?" + a.query
	if st := f.others[key]; st != nil {
		return st, nil
	}
	cfg, file, err := f.w.load()
	if err != nil {
		return nil, err
	}
	st, err := openAddress(ctx, cfg, file, a)
	if err != nil {
		return nil, err
	}
	f.others[key] = st
	return st, nil
}

func openAddress(ctx context.Context, cfg *config.Config, file string, a *address) (*opened, error) {
	if a.query == "" {
		if st, err := openConfigured(ctx, cfg, file); err == nil && st.holds(a) {
			return st, nil
		}
	}
	s, err := openStoreAt(ctx, cfg, a)
	if err != nil {
		return nil, usageError(fmt.Errorf("open the store of %s: %w", a.arg, err))
	}
	return &opened{config: file, store: s, sink: s, named: true}, nil
}

// holds reports whether the store stores the dump of an address there.
func (o *opened) holds(a *address) bool {
	for _, t := range dump.Triggers() {
		if sink.URIFor(o.sink, a.id, t) == a.uri() {
			return true
		}
	}
	return false
}

func openStoreAt(ctx context.Context, cfg *config.Config, a *address) (sink.Sink, error) {
	bucket, prefix, isBucket := a.bucket()
	if !isBucket || a.query != "" {
		return sink.Open(ctx, storeURL(a, a.query))
	}
	// What is configured as a URL has its parameters there.
	like := ""
	for _, rawURL := range configuredURLs(cfg) {
		u, err := sink.ParseURL(rawURL)
		if err != nil || u.Scheme != "s3" {
			continue
		}
		if u.Host == bucket && strings.Trim(u.Path, "/") == prefix {
			return sink.Open(ctx, rawURL)
		}
		if like == "" {
			like = u.RawQuery
		}
	}
	if like != "" && cfg.Sink.Type != config.SinkS3 {
		return sink.Open(ctx, storeURL(a, like))
	}
	plain := *cfg
	plain.Sink = config.Sink{Type: config.SinkS3, S3: cfg.Sink.S3}
	plain.Sink.S3.Bucket, plain.Sink.S3.Prefix = bucket, prefix
	return plain.OpenDestination(ctx)
}

// configuredURLs returns the URLs of all stores that the configuration names so.
func configuredURLs(cfg *config.Config) []string {
	urls := append([]string{cfg.Sink.URL}, cfg.Sink.Also...)
	urls = append(urls, cfg.Sink.Fallback)
	for _, r := range cfg.Sink.Routes {
		_, rawURL, _ := strings.Cut(r, "=")
		urls = append(urls, strings.TrimSpace(rawURL))
	}
	return urls
}

// storeURL is the URL of the store that an address lies in, for [sink.Open].
func storeURL(a *address, query string) string {
	scheme, rest, _ := strings.Cut(a.base, "://")
	host, path, _ := strings.Cut(rest, "/")
	u := url.URL{Scheme: scheme, Host: host, Path: path, RawQuery: query}
	if path != "" {
		u.Path = "/" + path // String escapes what is no part of a URL
	}
	return u.String()
}
