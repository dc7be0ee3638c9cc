package config

import "testing"

func TestSpooled(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   bool
	}{
		{"local", func(*Config) {}, false},
		{"local, on", func(c *Config) { c.Spool.Mode = SpoolOn }, true},
		{"s3", func(c *Config) { c.Sink.Type = SinkS3 }, true},
		{"s3, off", func(c *Config) { c.Sink.Type, c.Spool.Mode = SinkS3, SpoolOff }, false},
		{"a folder by URL, which goes over the type", func(c *Config) { c.Sink.Type, c.Sink.URL = SinkS3, "file:///a" }, false},
		{"a bucket by URL", func(c *Config) { c.Sink.URL = "s3://b" }, true},
		{"local with a route to a folder", func(c *Config) { c.Sink.Routes = []string{"panic=file:///p"} }, false},
		{"local with a route to a bucket", func(c *Config) { c.Sink.Routes = []string{"panic=s3://p"} }, true},
		// Without a second attempt neither of these would get what it is for.
		{"local with a fallback", func(c *Config) { c.Sink.Fallback = "file:///f" }, true},
		{"local and another", func(c *Config) { c.Sink.Also = []string{"file:///f"} }, true},
	} {
		c := Default()
		tc.change(&c)
		if got := c.Spooled(); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}
