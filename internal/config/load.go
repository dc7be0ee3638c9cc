package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// Section is the top-level key under which the keys may lie in a file or a
// viper instance that also serves the application.
const Section = "coredumpy"

// LoadOptions says where to look besides the usual places.
type LoadOptions struct {
	// File is the path of the configuration file; it must be there. "" looks
	// in the usual places.
	File string
	// Viper is the application's own viper instance. No file is looked for
	// then. It is read, not changed.
	Viper *viper.Viper
	// Change is called on what was read, before it is checked as a whole:
	// what code sets goes over what was found.
	Change func(*Config)
}

// SystemFile is the last of the places where a configuration file is looked
// for.
const SystemFile = "/etc/coredumpy/config.yaml"

// Load reads the configuration. Each key has the value of the first of these
// that sets it: its environment variable (COREDUMPY_SINK_S3_BUCKET for
// sink.s3.bucket; an empty one counts as not set); the configuration file or
// the viper instance; [Default].
//
// The file is the first of these: o.File, $COREDUMPY_CONFIG, ./config.yaml,
// $XDG_CONFIG_HOME/coredumpy/config.yaml (~/.config for $XDG_CONFIG_HOME if that
// is not set), /etc/coredumpy/config.yaml. The first two must exist if they are
// named. Its extension says whether it is YAML, JSON or TOML; without one it is
// YAML. If it has a section coredumpy, the keys are read from there and the
// rest is somebody else's. A ./config.yaml without such a section in which
// nothing looks like a key of ours is somebody else's as well and is passed
// over; so is a viper instance, which may also be rooted at our keys.
//
// It returns the file that was read, "" if there was none. The error is an
// [*Error] that names the key, and the file or the variable in which it
// stands.
func Load(o LoadOptions) (*Config, string, error) {
	src, err := open(o)
	if err != nil {
		return nil, src.file, err
	}
	cfg := Default()
	for i := range fields {
		if err := src.setField(&cfg, &fields[i]); err != nil {
			return nil, src.file, err
		}
	}
	if o.Change != nil {
		o.Change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		return nil, src.file, src.locate(err)
	}
	cfg.Warnings = strayVariables(os.Environ())
	return &cfg, src.file, nil
}

// source is where keys are read from: a viper instance of our own, rooted at
// our keys, with the environment bound over the file.
type source struct {
	name string // for messages: "config file ./config.yaml"
	file string
	v    *viper.Viper
}

// open finds the source and checks that it has no keys but ours.
func open(o LoadOptions) (source, error) {
	src, err := find(o)
	if err != nil {
		return src, err
	}
	if err := src.checkKeys(); err != nil {
		return src, err
	}
	for i := range fields {
		if err := src.v.BindEnv(fields[i].key, envName(fields[i].key)); err != nil {
			return src, &Error{Key: fields[i].key, Err: err}
		}
	}
	return src, nil
}

func find(o LoadOptions) (source, error) {
	none := source{v: viper.New()}
	if o.Viper != nil {
		return fromViper(o.Viper)
	}
	if o.File != "" {
		return readFile(o.File, false)
	}
	if path := os.Getenv(EnvFile); path != "" {
		src, err := readFile(path, false)
		var e *Error
		if errors.As(err, &e) && errors.Is(err, fs.ErrNotExist) {
			e.Hint = "the path comes from " + EnvFile
		}
		return src, err
	}
	for i, path := range searchPath() {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		// The first is the working directory's config.yaml, a name that
		// anybody may have taken for something else.
		src, err := readFile(path, i == 0)
		if err != nil || src.v != nil {
			return src, err
		}
	}
	return none, nil
}

// searchPath returns the places where a file may be that nobody named.
func searchPath() []string {
	paths := []string{"config.yaml"}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		if home, err := os.UserHomeDir(); err == nil {
			dir = filepath.Join(home, ".config")
		}
	}
	if filepath.IsAbs(dir) { // others are to be ignored, by the XDG specification
		paths = append(paths, filepath.Join(dir, "coredumpy", "config.yaml"))
	}
	return append(paths, SystemFile)
}

// readFile reads a file. If it may be somebody else's and looks so, the
// returned source has no viper instance.
func readFile(path string, foreign bool) (source, error) {
	src := source{name: "config file " + path, file: path}
	v := viper.New()
	v.SetConfigFile(path)
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json", ".toml":
	default:
		v.SetConfigType("yaml")
	}
	if err := v.ReadInConfig(); err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) { // its text would name the file once more
			return src, &Error{Source: src.name, File: path, Err: perr.Err}
		}
		return src, &Error{Source: src.name, File: path, Msg: "cannot be parsed", Err: err}
	}
	r, err := src.root(v)
	if err != nil {
		return src, err
	}
	if foreign && r.isForeign() {
		return source{}, nil
	}
	src.v = r.Viper
	return src, nil
}

func fromViper(app *viper.Viper) (source, error) {
	src := source{name: "viper instance"}
	// The key delimiter of the instance is not known, so go by its nested
	// settings, which also have its precedence applied.
	mine := viper.New()
	if err := mine.MergeConfigMap(app.AllSettings()); err != nil {
		return src, &Error{Source: src.name, Err: err}
	}
	v, err := src.root(mine)
	if err != nil {
		return src, err
	}
	if v.isForeign() {
		v = rooted{Viper: viper.New()}
	}
	// Environment variables that the instance takes by AutomaticEnv are in
	// no listing, only to be had by asking.
	for i := range fields {
		key := fields[i].key
		if v.IsSet(key) {
			continue
		}
		if raw := app.Get(Section + "." + key); raw != nil {
			v.Set(key, raw)
		}
	}
	src.v = v.Viper
	return src, nil
}

// rooted is a viper instance whose root is our keys' root.
type rooted struct {
	*viper.Viper
	section bool // it was the section of something larger
}

// root returns the instance for the section coredumpy, if v has one, or v.
func (s *source) root(v *viper.Viper) (rooted, error) {
	if !v.InConfig(Section) {
		return rooted{Viper: v}, nil
	}
	sub := viper.New()
	switch raw := v.Get(Section).(type) {
	case nil:
	case map[string]any:
		if err := sub.MergeConfigMap(raw); err != nil {
			return rooted{}, &Error{Source: s.name, File: s.file, Key: Section, Err: err}
		}
	default:
		return rooted{}, &Error{Source: s.name, File: s.file, Key: Section, Msg: "want a section with keys, have " + describe(raw)}
	}
	return rooted{sub, true}, nil
}

// isForeign reports whether v has nothing to do with us: no section of ours,
// no key of ours, and none that looks like a misspelt one.
func (v rooted) isForeign() bool {
	if v.section {
		return false
	}
	keys := v.AllKeys()
	known := keyNames()
	for _, key := range keys {
		if slices.Contains(known, key) || nearest(key, known) != "" {
			return false
		}
	}
	return len(keys) > 0
}

func keyNames() []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].key
	}
	return names
}

// sectionNames returns "capture", "sink", "sink.s3" and so on.
func sectionNames() []string {
	var names []string
	for i := range fields {
		key := fields[i].key
		for j := range key {
			if key[j] == '.' && !slices.Contains(names, key[:j]) {
				names = append(names, key[:j])
			}
		}
	}
	return names
}

// checkKeys returns an error for the first key, in alphabetical order, that
// there is no such key of.
func (s *source) checkKeys() error {
	known, sections := keyNames(), sectionNames()
	keys := s.v.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		switch {
		case slices.Contains(known, key):
		case slices.Contains(sections, key):
			if raw := s.v.Get(key); raw != nil {
				return &Error{Source: s.name, File: s.file, Key: key, Msg: "want a section with keys, have " + describe(raw)}
			}
		default:
			return s.unknown(key, known, sections)
		}
	}
	return nil
}

// unknown names the shortest unknown part of key: of an unknown section the
// section, not the first key in it.
func (s *source) unknown(key string, known, sections []string) error {
	e := &Error{Source: s.name, File: s.file, Key: key, Msg: "unknown key"}
	for i := range key {
		if key[i] != '.' {
			continue
		}
		head := key[:i]
		if slices.Contains(known, head) {
			e.Key, e.Msg = head, "want a value, have a section"
			return e
		}
		if !slices.Contains(sections, head) {
			e.Key = head
			if n := nearest(head, sections); n != "" {
				e.Hint = "did you mean " + n + "?"
				return e
			}
			break
		}
	}
	if n := nearest(key, known); n != "" {
		e.Hint = "did you mean " + n + "?"
		return e
	}
	// Perhaps it is right but in the wrong section.
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range known {
		if k[strings.LastIndexByte(k, '.')+1:] == last {
			e.Hint = "did you mean " + k + "?"
			break
		}
	}
	return e
}

// setField puts the value of one key into cfg, if anything sets it.
func (s *source) setField(cfg *Config, f *field) error {
	raw := s.v.Get(f.key)
	if raw == nil {
		return nil
	}
	env := os.Getenv(envName(f.key))
	if env != "" && f.typ == "list" {
		raw = splitList(env)
	}
	if err := f.set(cfg, raw); err != nil {
		e := &Error{Source: s.name, File: s.file, Key: f.key, Err: err}
		if env != "" {
			e.Source, e.File = "environment variable "+envName(f.key), ""
		}
		return e
	}
	return nil
}

// locate adds where a key stands to an error of Validate.
func (s *source) locate(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	if os.Getenv(envName(e.Key)) != "" {
		e.Source = "environment variable " + envName(e.Key)
	} else {
		e.Source, e.File = s.name, s.file
	}
	return e
}

// strayVariables returns a warning for each environment variable that begins
// like ours, is none of ours, but looks like a misspelt one. It is no more
// than a warning, and only for those that look so, because the prefix is not
// ours alone: Kubernetes sets COREDUMPY_SERVICE_HOST, COREDUMPY_PORT and others in every
// container beside a service that is called coredumpy.
func strayVariables(environ []string) []string {
	var names []string
	for i := range fields {
		names = append(names, envName(fields[i].key))
	}
	names = append(names, EnvFile)
	var warnings []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || value == "" || slices.Contains(names, name) {
			continue
		}
		tails := make([]string, len(names))
		for i, n := range names {
			tails[i] = n[len(EnvPrefix):]
		}
		if n := nearest(name[len(EnvPrefix):], tails); n != "" {
			warnings = append(warnings, fmt.Sprintf("environment variable %s is ignored (did you mean %s%s?)", name, EnvPrefix, n))
		}
	}
	slices.Sort(warnings)
	return warnings
}
