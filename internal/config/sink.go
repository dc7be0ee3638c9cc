package config

import (
	"context"
	"fmt"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// OpenSink returns the store that the configuration names. It sends nothing
// over the network and touches no folder: a bucket that does not exist is an error
// of the first use. The context is only for reading the AWS SDK's own files.
func (c *Config) OpenSink(ctx context.Context) (sink.Sink, error) {
	switch c.Sink.Type {
	case SinkLocal:
		s, err := local.New(c.Sink.Local.Dir)
		if err != nil {
			return nil, &Error{Key: "sink.local", Err: err}
		}
		return s, nil
	case SinkS3:
		k := c.Sink.S3
		s, err := s3.New(ctx, s3.Config{
			Bucket: k.Bucket, Prefix: k.Prefix, Endpoint: k.Endpoint, Region: k.Region, PathStyle: k.PathStyle,
		})
		if err != nil {
			return nil, &Error{Key: "sink.s3", Err: err}
		}
		return s, nil
	}
	return nil, &Error{Key: "sink.type", Msg: fmt.Sprintf("want one of %s, %s, have %q", SinkLocal, SinkS3, c.Sink.Type)}
}
