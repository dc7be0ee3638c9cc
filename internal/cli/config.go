package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
)

func newConfig(std *stdio) *cobra.Command {
	var (
		w      where
		format outputFormat
	)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration and where it comes from",
		Long: `Show the value of every key as it holds here, and where it comes from: the
configuration file, an environment variable, or the default. The output is a
configuration file itself.

A program that hands its own settings to otelcoredumpy in code may have others.`,
		Example: `  coredumpy config
  coredumpy config --config /etc/coredumpy/config.yaml --format json
  coredumpy config check --config config.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return showConfig(std, &w, format) },
	}
	w.addConfig(cmd)
	addFormat(cmd, &format)
	cmd.AddCommand(newConfigCheck(std), newConfigPath(std))
	return cmd
}

func newConfigCheck(std *stdio) *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration",
		Long: `Check that the configuration can be read, and that there is no key in it that
does not exist and no value that its key cannot have. Exit code 2 if it is wrong.

Whether the store can be reached is for "coredumpy doctor" to say.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, file, err := w.load()
			if err != nil {
				return err
			}
			warn(std, cfg)
			if file == "" {
				file = "no configuration file; defaults and environment"
			}
			_, err = fmt.Fprintf(std.out, "%s: ok\n", clean(file))
			return err
		},
	}
	w.addConfig(cmd)
	return cmd
}

func newConfigPath(std *stdio) *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use:   "path",
		Short: "Print the path of the configuration file",
		Long: `Print the path of the configuration file that is read here. The exit code is 1 if
there is none.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, file, err := w.load()
			if err != nil {
				return err
			}
			if file == "" {
				return hint(errors.New("there is no configuration file"), "looked for %s; name one with --config or $%s",
					strings.Join(config.SearchPath(), ", "), config.EnvFile)
			}
			_, err = fmt.Fprintln(std.out, file)
			return err
		},
	}
	w.addConfig(cmd)
	return cmd
}

// configJSON is the configuration in JSON.
type configJSON struct {
	File     string        `json:"file"` // "" if none was read
	Settings []settingJSON `json:"settings"`
	Warnings []string      `json:"warnings"`
}

type settingJSON struct {
	Key     string `json:"key"`
	Value   any    `json:"value"`
	Default any    `json:"default"`
	Origin  string `json:"origin"` // file, environment or default
	Env     string `json:"env"`    // the variable that sets it
}

func showConfig(std *stdio, w *where, format outputFormat) error {
	settings, cfg, file, err := config.Settings(config.LoadOptions{File: w.config})
	if err != nil {
		return configError(err)
	}
	if format == formatJSON {
		out := configJSON{File: file, Settings: make([]settingJSON, 0, len(settings)), Warnings: list(cfg.Warnings)}
		for _, s := range settings {
			out.Settings = append(out.Settings, settingJSON{
				Key: s.Key, Value: jsonValue(s.Value), Default: jsonValue(s.Default), Origin: s.Origin, Env: s.Env,
			})
		}
		return writeJSON(std.out, out)
	}
	warn(std, cfg)
	_, err = std.out.Write([]byte(configText(std.outStyle, settings, file)))
	return err
}

// jsonValue is a value as it is written in a file, as JSON: numbers, lists and
// so on are themselves, durations and the like are text.
func jsonValue(text string) any {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	if s, err := strconv.Unquote(text); err == nil {
		return s
	}
	return text
}

// configText prints the settings as YAML, each with its origin in a comment.
func configText(s style, settings []config.Setting, file string) string {
	origin := map[string]func(config.Setting) string{
		config.OriginDefault: func(config.Setting) string { return "default" },
		config.OriginEnv:     func(k config.Setting) string { return "from $" + k.Env },
		config.OriginFile:    func(config.Setting) string { return "from the file" },
	}
	type line struct{ text, comment string }
	var lines []line
	var open []string // the sections that the line stands in
	column := 0
	for _, k := range settings {
		parts := strings.Split(k.Key, ".")
		sections := parts[:len(parts)-1]
		same := 0
		for same < len(sections) && same < len(open) && sections[same] == open[same] {
			same++
		}
		for i := same; i < len(sections); i++ {
			lines = append(lines, line{text: strings.Repeat("  ", i) + sections[i] + ":"})
		}
		open = sections
		l := line{
			text:    strings.Repeat("  ", len(sections)) + parts[len(parts)-1] + ": " + clean(k.Value),
			comment: origin[k.Origin](k),
		}
		column = max(column, min(len(l.text), 48))
		lines = append(lines, l)
	}
	var b strings.Builder
	if file == "" {
		b.WriteString(s.dim("# no configuration file") + "\n")
	} else {
		b.WriteString(s.dim("# "+clean(file)) + "\n")
	}
	for _, l := range lines {
		b.WriteString(l.text)
		if l.comment != "" {
			b.WriteString(strings.Repeat(" ", max(0, column-len(l.text))+2) + s.dim("# "+l.comment))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// warn prints what is no error in a configuration but odd.
func warn(std *stdio, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.err, "coredumpy: %s %s\n", std.errStyle.yellow("warning:"), clean(w))
	}
}

// configError makes an error of package config a usage error, with its hint
// where hints go. A configuration file that was named and cannot be read is
// wrong usage too.
func configError(err error) error {
	var e *config.Error
	if !errors.As(err, &e) || e.Hint == "" || e.Error() != err.Error() { // one that is wrapped keeps its words
		return usageError(err)
	}
	bare := *e
	bare.Hint = ""
	return hint(usageError(&bare), "%s", e.Hint)
}
