package cli

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

// modulePath is the module whose presence in a binary means that it can make
// dumps.
const modulePath = "github.com/otelcoredumpy/otelcoredumpy"

// checkBinary says what dumps of a program will have.
func checkBinary(path string, cfg capture.DebugInfo) []check {
	const name = "binary"
	f, err := openFile(path)
	if err != nil {
		return []check{failedCheck(name, err)}
	}
	defer f.Close()
	info, err := buildinfo.Read(f)
	if err != nil {
		return []check{{
			Name: name, Status: statusFail, Text: fmt.Sprintf("%s: %v", path, err),
			Hint: "it must be a Go program for Linux, macOS or Windows",
		}}
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	text := fmt.Sprintf("%s: %s %s/%s, %s", path, info.GoVersion, settings["GOOS"], settings["GOARCH"], orNone(info.Path))
	checks := []check{{Name: name, Status: statusOK, Text: text}, checkLinked(info)}
	checks = append(checks, checkDebugInfo(path, f, settings, cfg)...)
	if settings["-trimpath"] == "true" {
		checks = append(checks, check{
			Name: "source", Status: statusWarn, Text: "built with -trimpath: source files cannot be found, so dumps have no source lines",
			Hint: "build without -trimpath, or read the source beside the dump",
		})
	}
	return checks
}

func checkLinked(info *debug.BuildInfo) check {
	const name = "otelcoredumpy"
	if info.Main.Path == modulePath {
		return check{Name: name, Status: statusOK, Text: "is its main module"}
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == modulePath })
	if i < 0 {
		return check{
			Name: name, Status: statusFail, Text: "is not built in",
			Hint: "import " + modulePath + " and call Install",
		}
	}
	return check{Name: name, Status: statusOK, Text: "built in, " + info.Deps[i].Version}
}

// checkDebugInfo looks for DWARF in the binary or in a file of its own.
func checkDebugInfo(path string, r io.ReaderAt, settings map[string]string, cfg capture.DebugInfo) []check {
	c := check{Name: "debug info", Status: statusOK}
	if goos := settings["GOOS"]; goos != "linux" {
		c.Status = statusWarn
		if err := readDWARF(r); err != nil {
			c.Text = err.Error() + ": dumps have the panic value or error, functions and lines, but no arguments and locals"
		} else {
			c.Text = "is there, but on " + orNone(goos) + " it is not read yet: dumps have the panic value or error, functions and lines, no locals"
		}
		return []check{c}
	}
	info, err := capture.InspectDebugInfo(path, cfg)
	if err != nil {
		c.Status = statusWarn
		c.Text = err.Error() + ": dumps have the panic value or error, functions and lines, but no arguments and locals"
		c.Hint = "build without -ldflags=-w or -s, and do not strip the binary, or keep its debug info in a file beside it (docs/debuginfo.md)"
		if f := settings["-ldflags"]; f != "" {
			c.Hint += "; it was built with -ldflags=" + fmt.Sprintf("%q", f)
		}
		return append([]check{c}, lookedAt(info.Looked)...)
	}
	c.Text = "is there"
	if info.Separate {
		c.Text = "is in " + info.File
	}
	c.Text += ": dumps have arguments and locals"
	if info.Plain {
		c.Text += ", and as it is not optimised, all of them"
	}
	kind := check{Name: "debug info", Status: statusOK, Text: fmt.Sprintf("DWARF %s, %d functions, %s", join(info.Versions), info.Functions, bytesText(int64(info.Bytes)))}
	switch {
	case info.Compression == "none":
		kind.Text += ", not compressed: mapped as it is"
	case info.Cached:
		kind.Text += fmt.Sprintf(", compressed (%s) to %s; lies unpacked in the cache", info.Compression, bytesText(int64(info.PackedBytes)))
	default:
		kind.Text += fmt.Sprintf(", compressed (%s) to %s; is not in the cache yet", info.Compression, bytesText(int64(info.PackedBytes)))
	}
	return []check{c, kind}
}

func join(versions []int) string {
	var out []string
	for _, v := range versions {
		out = append(out, fmt.Sprint(v))
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// lookedAt says where a separate file was looked for in vain.
func lookedAt(places []capture.LookedAt) []check {
	var out []check
	for _, p := range places {
		out = append(out, check{Name: "debug info", Status: statusWarn, Text: p.Path + " " + p.Why})
	}
	return out
}

// checkCache says whether the folder for unpacked debug info can be used.
func checkCache(cfg capture.DebugInfo) check {
	c := check{Name: "debug info cache", Status: statusOK}
	r, err := capture.InspectCache(cfg)
	switch {
	case r.Dir == "" && err == nil:
		c.Text = "there is none: each start of a program unpacks its debug info into memory"
	case errors.Is(err, fs.ErrNotExist):
		c.Text = r.Dir + " is not there yet; the first program to start makes it"
	case err != nil:
		c.Status, c.Text = statusWarn, err.Error()
		c.Hint = "it must be a folder of the user that the service runs as, with mode 0700; debug_info.cache_dir names another one, or \"off\""
	default:
		c.Text = fmt.Sprintf("%s: %d programs, %s of %s", r.Dir, r.Files, bytesText(r.Bytes), bytesText(r.Max))
	}
	return c
}

var errNoDWARF = errors.New("is missing")

// readDWARF returns nil if r is an executable with DWARF that can be read.
func readDWARF(r io.ReaderAt) error {
	var (
		data  *dwarf.Data
		err   error
		names []string
	)
	if f, ferr := elf.NewFile(r); ferr == nil {
		for _, s := range f.Sections {
			names = append(names, s.Name)
		}
		data, err = f.DWARF()
	} else if f, ferr := macho.NewFile(r); ferr == nil {
		for _, s := range f.Sections {
			names = append(names, s.Name)
		}
		data, err = f.DWARF()
	} else if f, ferr := pe.NewFile(r); ferr == nil {
		for _, s := range f.Sections {
			names = append(names, s.Name)
		}
		data, err = f.DWARF()
	} else {
		return errors.New("cannot be looked for in this format")
	}
	// With a z in front, sections are compressed the old way.
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "debug_info") }) {
		return errNoDWARF
	}
	if err != nil {
		return fmt.Errorf("cannot be read (%w)", err)
	}
	unit, err := data.Reader().Next()
	switch {
	case err != nil:
		return fmt.Errorf("cannot be read (%w)", err)
	case unit == nil:
		return errNoDWARF
	}
	return nil
}
