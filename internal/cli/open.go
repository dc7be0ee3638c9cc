package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

// where are the flags that say where dumps are stored.
type where struct {
	config string // --config
	dir    string // --dir
}

func (w *where) addFlags(cmd *cobra.Command) {
	w.addConfig(cmd)
	cmd.Flags().StringVar(&w.dir, "dir", "", "look in this local store or folder `DIR` of dumps instead of the configured sink")
	_ = cmd.MarkFlagDirname("dir")
}

func (w *where) addConfig(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.config, "config", "", "configuration `FILE` (default: see coredumpy --help)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json", "toml")
}

// load reads the configuration. A bad one is a usage error.
func (w *where) load() (*config.Config, string, error) {
	cfg, file, err := config.Load(config.LoadOptions{File: w.config})
	if err != nil {
		return nil, file, configError(err)
	}
	return cfg, file, nil
}

// opened is a store and how it came to be used.
type opened struct {
	store
	config string    // the configuration file, "" if none was read
	dir    string    // the local folder that it lies in, "" if it is elsewhere
	noDir  bool      // that folder does not exist
	chosen bool      // with --dir
	named  bool      // by an address
	sink   sink.Sink // nil for a plain folder
}

// String says where is looked for dumps.
func (o *opened) String() string {
	if s, ok := o.sink.(*spool.Spool); ok {
		return s.Destination().String() + " and the spool " + s.Dir()
	}
	return o.store.String()
}

// destination is the store without the spool before it.
func (o *opened) destination() store {
	if s, ok := o.sink.(*spool.Spool); ok {
		return s.Destination()
	}
	return o.store
}

// remote reports whether reading from the store costs requests to a server.
func (o *opened) remote() bool { return o.dir == "" }

// uri is where the store has a dump.
func (o *opened) uri(id dump.Identity) string {
	if o.sink == nil {
		return ""
	}
	return o.sink.URI(id)
}

// open finds the store. With --dir and without --config no configuration is
// read: a folder can be looked into wherever one stands.
func (w *where) open(ctx context.Context) (*opened, error) {
	if w.dir == "" || w.config != "" {
		cfg, file, err := w.load()
		if err != nil {
			return nil, err
		}
		if w.dir == "" {
			return openConfigured(ctx, cfg, file)
		}
	}
	return openDir(w.dir)
}

func openConfigured(ctx context.Context, cfg *config.Config, file string) (*opened, error) {
	o := &opened{config: file, dir: localDir(cfg)}
	o.noDir = o.dir != "" && missing(o.dir)
	s, err := cfg.OpenStore(ctx) // dumps come as they are stored; see keys
	if err != nil {
		return nil, configError(fmt.Errorf("open the sink: %w", err))
	}
	o.store, o.sink = s, s
	return o, nil
}

func openDir(dir string) (*opened, error) {
	o := &opened{dir: dir, chosen: true, noDir: missing(dir)}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, hint(fmt.Errorf("--dir %s is not a folder", dir), "open a dump file with: coredumpy peek %s", dir)
	}
	if fi, err := os.Stat(filepath.Join(dir, filepath.FromSlash(sink.TracesPrefix))); err != nil || !fi.IsDir() {
		o.store = folder{dir}
		return o, nil
	}
	s, err := local.New(dir)
	if err != nil {
		return nil, usageError(fmt.Errorf("open --dir %s: %w", dir, err))
	}
	o.store, o.sink = s, s
	return o, nil
}

// localDir is the folder that dumps are stored in, "" if it is elsewhere.
func localDir(cfg *config.Config) string {
	if cfg.Sink.URL == "" {
		if cfg.Sink.Type == config.SinkLocal {
			return cfg.Sink.Local.Dir
		}
		return ""
	}
	u, err := url.Parse(cfg.Sink.URL)
	if err != nil {
		return ""
	}
	s, err := local.OpenURL(u) // refuses other schemes
	if err != nil {
		return ""
	}
	return s.Dir()
}

func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// hintWhere says what to try when something is not in the store.
func (o *opened) hintWhere() string {
	switch {
	case o.noDir:
		return "that folder does not exist; give the right one with --dir, or a configuration with --config"
	case o.named:
		return "the address names this store; endpoint, region and credentials come from the configuration and the environment"
	case o.chosen:
		return "\"coredumpy ls --dir " + o.dir + "\" shows what is there"
	case o.config == "":
		return "no configuration file was found, so this is the default; say where to look with --config or --dir"
	}
	return "the place comes from " + o.config + "; \"coredumpy ls\" shows what is there; a dump may still be on its way"
}

// isDamage reports whether an error says that a file is not a whole dump that
// this version can read.
func isDamage(err error) bool {
	return errors.Is(err, dump.ErrNotDump) || errors.Is(err, dump.ErrVersion) ||
		errors.Is(err, dump.ErrTruncated) || errors.Is(err, dump.ErrDamaged)
}
