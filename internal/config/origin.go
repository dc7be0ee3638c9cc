package config

import "os"

// The kinds of origins.
const (
	OriginDefault = "default"
	OriginEnv     = "environment"
	OriginFile    = "file" // or the viper instance
)

// Setting is one key with the value that holds and where it comes from.
type Setting struct {
	KeyDoc
	Value  string // as it is written in a file
	Origin string // OriginDefault, OriginEnv or OriginFile
}

// Settings reads the configuration as [Load] does and returns besides what each
// key has and which of the places set it, in the order of [Keys].
func Settings(o LoadOptions) (settings []Setting, cfg *Config, file string, err error) {
	cfg, file, err = Load(o)
	if err != nil {
		return nil, nil, file, err
	}
	src, err := open(o)
	if err != nil {
		return nil, nil, file, err
	}
	def := Default()
	for i := range fields {
		f := &fields[i]
		s := Setting{KeyDoc: f.doc(&def), Value: f.get(cfg), Origin: OriginDefault}
		if os.Getenv(s.Env) != "" {
			s.Origin = OriginEnv
		} else if src.v.Get(s.Key) != nil {
			s.Origin = OriginFile
		}
		settings = append(settings, s)
	}
	return settings, cfg, file, nil
}

// SearchPath returns the places where a configuration file is looked for if
// nobody names one, in that order.
func SearchPath() []string { return searchPath() }
