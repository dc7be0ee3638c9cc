package cli

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// modulePath is the module whose presence in a binary means that it can make
// dumps.
const modulePath = "github.com/otelcoredumpy/otelcoredumpy"

// debugRoots are where distributions keep debug files by build ID.
var debugRoots = []string{"/usr/lib/debug/.build-id"}

// checkBinary says what dumps of a program will have.
func checkBinary(path string) []check {
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
	checks = append(checks, checkDebugInfo(f, settings))
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

// checkDebugInfo looks for DWARF in the binary or in a file beside it.
func checkDebugInfo(r io.ReaderAt, settings map[string]string) check {
	c := check{Name: "debug info", Status: statusOK}
	goos := settings["GOOS"]
	err := readDWARF(r)
	if err == nil && goos != "linux" {
		c.Status = statusWarn
		c.Text = "is there, but on " + orNone(goos) + " it is not read yet: dumps have the panic value or error, functions and lines, no locals"
		return c
	}
	if err == nil {
		c.Text = "is there: dumps have arguments and locals"
		if f := settings["-gcflags"]; strings.Contains(f, "-N") && strings.Contains(f, "-l") {
			c.Text += ", and as it is not optimised, all of them"
		}
		return c
	}
	if path := separateDebug(r); path != "" {
		c.Text = "is in " + path
		return c
	}
	c.Status = statusWarn
	c.Text = err.Error() + ": dumps have the panic value or error, functions and lines, but no arguments and locals"
	c.Hint = "build without -ldflags=-w or -s, and do not strip the binary"
	if f := settings["-ldflags"]; f != "" {
		c.Hint += "; it was built with -ldflags=" + fmt.Sprintf("%q", f)
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

// separateDebug returns the debug file of an ELF binary, found by build ID, ""
// if there is none.
func separateDebug(r io.ReaderAt) string {
	f, err := elf.NewFile(r)
	if err != nil {
		return ""
	}
	id := gnuBuildID(f)
	if len(id) < 2 {
		return ""
	}
	text := hex.EncodeToString(id)
	for _, root := range debugRoots {
		path := filepath.Join(root, text[:2], text[2:]+".debug")
		if file, err := os.Open(path); err == nil {
			err = readDWARF(file)
			if cerr := file.Close(); err == nil && cerr == nil {
				return path
			}
		}
	}
	return ""
}

// gnuBuildID returns the build ID in the note NT_GNU_BUILD_ID, nil if there is
// none.
func gnuBuildID(f *elf.File) []byte {
	s := f.Section(".note.gnu.build-id")
	if s == nil {
		return nil
	}
	note, err := s.Data()
	if err != nil || len(note) < 16 {
		return nil
	}
	// Name size, descriptor size, type, "GNU\0", descriptor (gABI, "Note Section").
	size := f.ByteOrder.Uint32(note[4:])
	if uint64(size) > uint64(len(note)-16) {
		return nil
	}
	return note[16 : 16+size]
}
