package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/route"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

// The functions of this file build stores. They send nothing over the network
// and touch no folder: a bucket that does not exist is an error of the first
// use. Their contexts are only for reading the AWS SDK's own files.

// OpenDestination returns where dumps end up: the store that the configuration
// names, with the further ones, the fallback and the routes, if there are any.
func (c *Config) OpenDestination(ctx context.Context) (_ sink.Sink, err error) {
	var opened []sink.Sink
	defer func() {
		if err != nil {
			shutdownNow(opened...)
		}
	}()
	open := func(key, rawURL string) (sink.Sink, error) {
		s, err := sink.Open(ctx, rawURL)
		if err != nil {
			return nil, &Error{Key: key, Err: err}
		}
		opened = append(opened, s)
		return s, nil
	}
	s, err := c.openPrimary(ctx)
	if err != nil {
		return nil, err
	}
	opened = append(opened, s)
	if c.Sink.Fallback != "" {
		other, err := open("sink.fallback", c.Sink.Fallback)
		if err != nil {
			return nil, err
		}
		after := c.Sink.FallbackAfter
		if c.Spool.Mode == SpoolOff {
			after = 0 // nobody tries again
		}
		s = route.Fallback(s, other, after)
	}
	urls, err := c.routes()
	if err != nil {
		return nil, &Error{Key: "sink.routes", Err: err}
	}
	if len(urls) > 0 {
		routes := make(map[dump.Trigger]sink.Sink)
		for t, rawURL := range urls {
			if routes[t], err = open("sink.routes", rawURL); err != nil {
				return nil, err
			}
		}
		s = route.ByTrigger(s, routes)
	}
	if len(c.Sink.Also) > 0 {
		var also []sink.Sink
		for _, rawURL := range c.Sink.Also {
			other, err := open("sink.also", rawURL)
			if err != nil {
				return nil, err
			}
			also = append(also, other)
		}
		s = route.Fanout(s, also...)
	}
	return s, nil
}

// shutdownNow lets go of stores that turned out not to be needed.
func shutdownNow(stores ...sink.Sink) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range stores {
		_ = sink.Shutdown(ctx, s)
	}
}

func (c *Config) openPrimary(ctx context.Context) (sink.Sink, error) {
	switch {
	case c.Sink.URL != "":
		s, err := sink.Open(ctx, c.Sink.URL)
		if err != nil {
			return nil, &Error{Key: "sink.url", Err: err}
		}
		return s, nil
	case c.Sink.Type == SinkLocal:
		s, err := local.New(c.Sink.Local.Dir)
		if err != nil {
			return nil, &Error{Key: "sink.local", Err: err}
		}
		return s, nil
	case c.Sink.Type == SinkS3:
		k := c.Sink.S3
		s, err := s3.New(ctx, s3.Config{
			Bucket: k.Bucket, Prefix: k.Prefix, Endpoint: k.Endpoint, Region: k.Region, PathStyle: k.PathStyle,
			Profile: k.Profile, RoleARN: k.RoleARN, ExternalID: k.ExternalID, SSE: k.SSE, KMSKeyID: k.KMSKeyID,
			StorageClass: k.StorageClass, Tags: k.Tags, ChecksumMode: k.Checksum, MultipartThreshold: k.MultipartThreshold,
			PartSize: k.PartSize, Concurrency: k.Concurrency, Proxy: k.Proxy, CAFile: k.CAFile,
		})
		if err != nil {
			return nil, &Error{Key: "sink.s3", Err: err}
		}
		return s, nil
	}
	return nil, &Error{Key: "sink.type", Msg: fmt.Sprintf("want one of %s, %s, have %q", SinkLocal, SinkS3, c.Sink.Type)}
}

// Spooled reports whether dumps go to the spool first.
func (c *Config) Spooled() bool {
	switch c.Spool.Mode {
	case SpoolOn:
		return true
	case SpoolOff:
		return false
	}
	// A local folder is as safe as the spool would be, so nothing is gained by
	// writing everything twice. But a fallback takes over, and a further store
	// is made up for, only if somebody tries again.
	if c.Sink.Fallback != "" || len(c.Sink.Also) > 0 || c.Sink.URL == "" && c.Sink.Type != SinkLocal {
		return true
	}
	routes, err := c.routes()
	if err != nil {
		return true
	}
	urls := slices.Collect(maps.Values(routes))
	if c.Sink.URL != "" {
		urls = append(urls, c.Sink.URL)
	}
	return slices.ContainsFunc(urls, func(rawURL string) bool {
		u, err := sink.ParseURL(rawURL)
		return err != nil || u.Scheme != "file"
	})
}

// SpoolConfig returns the limits of the spool as package spool takes them.
func (c *Config) SpoolConfig() (spool.Config, error) {
	dir := c.Spool.Dir
	if dir == "" {
		var err error
		if dir, err = spool.DefaultDir(); err != nil {
			return spool.Config{}, &Error{Key: "spool.dir", Err: err}
		}
	}
	free := c.Spool.MinFree
	if free == 0 {
		free = -1 // 0 stands for the default there
	}
	return spool.Config{
		Dir: dir, MaxBytes: c.Spool.MaxBytes, MaxItems: c.Spool.MaxItems, MaxAge: c.Spool.MaxAge, MinFree: free,
		Concurrency: c.Upload.Concurrency, AttemptTimeout: c.Upload.AttemptTimeout, GiveUpAfter: c.Upload.GiveUpAfter,
	}, nil
}

// Hooks are told what the spool does; see [spool.Config].
type Hooks struct {
	OnResult  func(spool.Result)
	OnTrouble func(kind string, err error)
}

// Pipeline is what a service hands its dumps to.
type Pipeline struct {
	Sink  sink.Sink
	Spool *spool.Spool // nil if there is none

	destination sink.Sink // nil if it is somebody else's
}

// Shutdown drains the spool within ctx, and lets go of the stores that were
// opened.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	var errs []error
	if p.Spool != nil {
		errs = append(errs, p.Spool.Shutdown(ctx))
	}
	if p.destination != nil {
		errs = append(errs, sink.Shutdown(ctx, p.destination))
	}
	return errors.Join(errs...)
}

// OpenPipeline returns the way that the dumps of a service take: encrypted, if
// they are to be, into the spool, if there is one, and on to the destination.
// A destination that is given, not nil, takes the place of the configured one; it has a spool only if spool.mode
// is on, and Shutdown does not touch it.
func (c *Config) OpenPipeline(ctx context.Context, given sink.Sink, h Hooks) (p Pipeline, err error) {
	defer func() {
		if err != nil { // nothing was put yet, so there is nothing to wait for
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = p.Shutdown(ctx)
		}
	}()
	spooled := c.Spool.Mode == SpoolOn
	if p.Sink = given; given == nil {
		if p.Sink, err = c.OpenDestination(ctx); err != nil {
			return p, err
		}
		p.destination = p.Sink
		spooled = c.Spooled()
	}
	if spooled {
		k, err := c.SpoolConfig()
		if err != nil {
			return p, err
		}
		k.OnResult, k.OnTrouble, k.Direct = h.OnResult, h.OnTrouble, true
		if p.Spool, err = spool.New(p.Sink, k); err != nil {
			return p, &Error{Key: "spool", Err: err}
		}
		p.Sink = p.Spool
	}
	if len(c.Encrypt.Recipients) > 0 {
		s, err := encrypt.New(p.Sink, encrypt.Config{Recipients: c.Encrypt.Recipients, SealHeader: c.Encrypt.SealHeader})
		if err != nil {
			return p, &Error{Key: "encrypt.recipients", Err: err}
		}
		p.Sink = s
	}
	return p, nil
}

// OpenSpool returns the spool as a command looks at it, which does nothing in
// the background; nil if the configuration has none.
func (c *Config) OpenSpool(ctx context.Context) (*spool.Spool, error) {
	if !c.Spooled() {
		return nil, nil
	}
	dest, err := c.OpenDestination(ctx)
	if err != nil {
		return nil, err
	}
	k, err := c.SpoolConfig()
	if err != nil {
		return nil, err
	}
	k.Passive = true
	s, err := spool.New(dest, k)
	if err != nil {
		return nil, &Error{Key: "spool", Err: err}
	}
	return s, nil
}

// OpenStore returns the store for reading: the destination, and what still
// waits in this machine's spool. What is encrypted stays so.
func (c *Config) OpenStore(ctx context.Context) (sink.Sink, error) {
	s, err := c.OpenSpool(ctx)
	if err != nil {
		return nil, err
	}
	if s != nil {
		return s, nil
	}
	return c.OpenDestination(ctx)
}
