package otelcoredumpy

import (
	"log/slog"
	"slices"

	"github.com/spf13/viper"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/exporter"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Option changes what [Install] installs. An option has precedence over
// environment variables, and these over the configuration file. Of two
// options about the same the later one counts.
type Option interface{ apply(s *settings) }

type optionFunc func(s *settings)

func (f optionFunc) apply(s *settings) { f(s) }

// settings are the options, collected.
type settings struct {
	source    config.LoadOptions
	change    []func(*config.Config)
	sink      sink.Sink
	redactors []redact.Redactor
	capture   []func(*capture.Config)
	excluded  []error
	meters    metric.MeterProvider
	logger    *slog.Logger
	callbacks []func(Ref, error)
}

// load reads the configuration and applies the options to it.
func (s *settings) load() (*config.Config, string, error) {
	s.source.Change = func(c *config.Config) {
		for _, f := range s.change {
			f(c)
		}
		if s.sink != nil {
			c.Sink = config.Default().Sink // not used, so not checked either
		}
	}
	return config.Load(s.source)
}

// onDump returns a function that calls all callbacks, nil if there are none.
func (s *settings) onDump() func(Ref, error) {
	if len(s.callbacks) == 0 {
		return nil
	}
	return func(ref Ref, err error) {
		for _, f := range s.callbacks {
			f(ref, err)
		}
	}
}

func (s *settings) warn(text string) {
	if s.logger != nil {
		s.logger.Warn("otelcoredumpy: " + text)
		return
	}
	otel.Handle(warning(text))
}

type warning string

func (w warning) Error() string { return "otelcoredumpy: " + string(w) }

// WithConfigFile reads the configuration from this file, which must exist, and
// looks nowhere else.
func WithConfigFile(path string) Option {
	return optionFunc(func(s *settings) { s.source.File = path })
}

// WithViper reads the configuration from the application's own viper instance,
// and looks for no file. The keys lie either under "coredumpy" or, if there is
// no such section, at the root: WithViper(v.Sub("observability.dumps")) is fine.
// An instance with none of our keys means the defaults. COREDUMPY_…
// environment variables have precedence over it. The instance is read once,
// and not changed.
func WithViper(v *viper.Viper) Option {
	return optionFunc(func(s *settings) { s.source.Viper = v })
}

// WithService sets the name under which dumps are listed. Without it that is
// the configured one, else the resource's service.name.
func WithService(name string) Option {
	return optionFunc(func(s *settings) {
		s.change = append(s.change, func(c *config.Config) { c.Service = name })
	})
}

// WithDir stores dumps in a local folder, and nowhere else, whatever the
// configuration says under sink.
func WithDir(dir string) Option {
	return optionFunc(func(s *settings) {
		s.sink = nil
		s.change = append(s.change, func(c *config.Config) {
			c.Sink = config.Default().Sink
			c.Sink.Local.Dir = dir
		})
	})
}

// WithSink stores dumps in s instead of what the configuration says under
// sink. Shutdown does not close it. Encryption applies as configured; a spool
// stands in front of it if spool.mode is on, not if that is auto.
func WithSink(store sink.Sink) Option {
	return optionFunc(func(s *settings) { s.sink = store })
}

// WithExcluded makes no dumps of these errors, nor of errors that wrap them, as
// trigger.exclude does for those that can be named in a file. An error that is
// handed to [RecordError] is compared by errors.Is, a panic's value by
// identity, and what a span or a panic's value only shows by type and message.
func WithExcluded(errs ...error) Option {
	return optionFunc(func(s *settings) { s.excluded = append(s.excluded, errs...) })
}

// WithMeterProvider sends metrics of otelcoredumpy itself (docs/telemetry.md)
// there. Without it they go to the global meter provider.
func WithMeterProvider(p metric.MeterProvider) Option {
	return optionFunc(func(s *settings) { s.meters = p })
}

// WithRedactor adds a redactor to the rules that the configuration switches
// on. It may be given several times.
func WithRedactor(r redact.Redactor) Option {
	return optionFunc(func(s *settings) {
		if r != nil {
			s.redactors = append(s.redactors, r)
		}
	})
}

// WithCapture changes the limits of captures after the configuration has set
// them. The Redactor is not to be had here; see [WithRedactor].
func WithCapture(change func(*capture.Config)) Option {
	return optionFunc(func(s *settings) {
		if change != nil {
			s.capture = append(s.capture, change)
		}
	})
}

// WithVariables keeps package variables in dumps besides what the failing goroutine leads
// to, as capture.variables does, which it replaces: "main.*", "example.com/shop/store.cache".
// A * stands for any run of characters.
func WithVariables(patterns ...string) Option {
	return optionFunc(func(s *settings) {
		s.change = append(s.change, func(c *config.Config) { c.Capture.Variables = slices.Clone(patterns) })
	})
}

// WithDebugInfo looks for the program's debug info there as well, as the key debug_info.path
// does: files that objcopy --only-keep-debug has made, or folders with such files. It is
// for programs that were stripped; only what belongs to this very build is used.
func WithDebugInfo(paths ...string) Option {
	return WithCapture(func(c *capture.Config) {
		c.DebugInfo.Paths = append(c.DebugInfo.Paths[:len(c.DebugInfo.Paths):len(c.DebugInfo.Paths)], paths...)
	})
}

// WithLogger logs trouble there: at most one line a minute for each kind.
// Without it trouble goes to the handler of otel.SetErrorHandler.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(s *settings) { s.logger = l })
}

// OnDump has f called when a dump has been stored, or with the error if it was
// lost after its failure had been captured. It is called on a background
// goroutine, and holds up the dumps behind it while it runs. When the process is about to die, it is
// called before the panic goes on. A panic of f is contained.
func OnDump(f func(Ref, error)) Option {
	return optionFunc(func(s *settings) {
		if f != nil {
			s.callbacks = append(s.callbacks, f)
		}
	})
}

// DumpOption says how [Dump] makes a dump.
type DumpOption interface{ applyDump(o *exporter.DumpOptions) }

type dumpOptionFunc func(o *exporter.DumpOptions)

func (f dumpOptionFunc) applyDump(o *exporter.DumpOptions) { f(o) }

// WithName gives the dump a name, by which it can be told from others in a
// listing.
func WithName(name string) DumpOption {
	return dumpOptionFunc(func(o *exporter.DumpOptions) { o.Name = name })
}

// WithDescription says in the dump why it was made. It is redacted like
// everything else.
func WithDescription(text string) DumpOption {
	return dumpOptionFunc(func(o *exporter.DumpOptions) { o.Description = text })
}

// WithDepth sets how many pointers away from a variable objects are followed,
// for this dump. The default is capture.depth.
func WithDepth(pointers int) DumpOption {
	return dumpOptionFunc(func(o *exporter.DumpOptions) { o.Depth = pointers })
}
