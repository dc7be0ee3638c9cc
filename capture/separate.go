package capture

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DebugInfo says where the program's debug info is looked for besides the program's own
// file, and where it is kept unpacked.
type DebugInfo struct {
	// Paths are files with debug info, made by objcopy --only-keep-debug for instance,
	// or folders in which they are looked for: as .build-id/ab/cdef….debug, under the name
	// that .gnu_debuglink gives, and as <program>.debug. They are used if the program has
	// no debug info itself, and only if they belong to this very build.
	Paths []string
	// CacheDir is the folder in which compressed debug info is kept unpacked. Default:
	// otelcoredumpy in the user's cache folder ($XDG_CACHE_HOME, ~/.cache). [CacheOff]: nowhere, it is
	// unpacked into memory at each start.
	CacheDir string
	// CacheMaxBytes is how large that folder may become. Default 1 GiB.
	CacheMaxBytes int64
}

// LookedAt is a place where debug info was looked for.
type LookedAt struct {
	Path string
	Why  string // why it was not taken, "" if it was
}

// systemDebug is where distributions put debug info.
const systemDebug = "/usr/lib/debug"

// findDebugInfo returns the file with the debug info of the program exe: itself, or a
// separate one. The error is errNoDebugInfo, with the reasons of those that did not fit.
func findDebugInfo(exe *elfFile, cfg *DebugInfo) (o *elfFile, looked []LookedAt, err error) {
	err = shielded(func() error {
		secs, err := exe.debugSections()
		if err != nil {
			return fmt.Errorf("reading debug info: %w", err)
		}
		if hasInfo(secs) {
			o = exe
			return nil
		}
		o, looked = exe.findSeparate(cfg)
		return nil
	})
	if o != nil || err != nil {
		return o, looked, err
	}
	var why []string
	for _, l := range looked {
		if l.Why != notThere {
			why = append(why, l.Path+" "+l.Why)
		}
	}
	if len(why) > 0 {
		return nil, looked, fmt.Errorf("%w, and %s", errNoDebugInfo, strings.Join(why, ", "))
	}
	return nil, looked, errNoDebugInfo
}

const notThere = "is not there"

// debugLink returns the name of the separate file and its CRC-32, as objcopy
// --add-gnu-debuglink has left them.
func (o *elfFile) debugLink() (name string, sum uint32, ok bool) {
	b := o.raw(o.elf.Section(".gnu_debuglink"))
	i := bytes.IndexByte(b, 0)
	at := (i + 4) &^ 3
	if i <= 0 || at+4 > len(b) || bytes.ContainsRune(b[:i], '/') || string(b[:i]) == ".." {
		return "", 0, false
	}
	return string(b[:i]), binary.LittleEndian.Uint32(b[at:]), true
}

// findSeparate tries the places in which separate debug info may be, those that were
// configured first, then those that GDB knows.
func (o *elfFile) findSeparate(cfg *DebugInfo) (*elfFile, []LookedAt) {
	type place struct {
		path   string
		linked bool // by .gnu_debuglink, whose checksum counts
	}
	var places []place
	link, sum, linked := o.debugLink()
	id := o.buildIDs().gnu
	base := filepath.Base(o.path)
	byID := func(dir string) {
		if len(id) > 2 {
			places = append(places, place{filepath.Join(dir, ".build-id", id[:2], id[2:]+".debug"), false})
		}
	}
	for _, p := range cfg.Paths {
		if st, err := os.Stat(p); err != nil || !st.IsDir() {
			places = append(places, place{p, false})
			continue
		}
		byID(p)
		if len(id) > 2 {
			places = append(places, place{filepath.Join(p, id[:2], id[2:]+".debug"), false})
		}
		if linked {
			places = append(places, place{filepath.Join(p, link), true})
		}
		if !linked || link != base+".debug" {
			places = append(places, place{filepath.Join(p, base+".debug"), false})
		}
	}
	byID(systemDebug)
	if dir := filepath.Dir(o.path); linked && filepath.IsAbs(dir) {
		places = append(places, place{filepath.Join(dir, link), true}, place{filepath.Join(dir, ".debug", link), true}, place{filepath.Join(systemDebug, dir, link), true})
	}
	var looked []LookedAt
	for _, p := range places {
		d, err := openELF(p.path)
		if err != nil {
			why := err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				why = notThere
			}
			looked = append(looked, LookedAt{p.path, why})
			continue
		}
		err = shielded(func() error { return o.belongs(d, p.linked, sum) })
		if err == nil {
			return d, append(looked, LookedAt{p.path, ""})
		}
		d.close()
		looked = append(looked, LookedAt{p.path, err.Error()})
	}
	return nil, looked
}

// belongs checks that d has the debug info of the program o: of the very same build, for
// that of another one would put values where others are.
func (o *elfFile) belongs(d *elfFile, linked bool, sum uint32) error {
	secs, err := d.debugSections()
	if err != nil {
		return err
	}
	if !hasInfo(secs) {
		return errors.New("has no debug info either")
	}
	if d.elf.Machine != o.elf.Machine {
		return fmt.Errorf("is for %v, not for %v", d.elf.Machine, o.elf.Machine)
	}
	if !o.sameLayout(d) {
		return errors.New("is of another build: its sections lie elsewhere")
	}
	want, have := o.buildIDs(), d.buildIDs()
	switch {
	case want.gnu != "" && have.gnu != "":
		if want.gnu == have.gnu || o.sameCode(d) {
			return nil
		}
		return fmt.Errorf("is of another build: its build ID is %s, the program's %s", have.gnu, want.gnu)
	case want.gc != "" && have.gc != "":
		if want.gc == have.gc || o.sameCode(d) {
			return nil
		}
		return fmt.Errorf("is of another build: its Go build ID is %s, the program's %s", have.gc, want.gc)
	case linked:
		if got := crc32.ChecksumIEEE(d.data); got != sum {
			return fmt.Errorf("is of another build: its CRC is %08x, .gnu_debuglink says %08x", got, sum)
		}
		return nil
	case o.sameCode(d):
		return nil
	}
	return errors.New("cannot be told to be of this build: there is no build ID to compare")
}

// layoutSections are what the debug info of a Go program refers to.
var layoutSections = []string{".text", ".rodata", ".typelink", ".itablink", ".gopclntab", ".data", ".bss", ".noptrdata", ".noptrbss"}

// sameLayout reports whether the sections of d, of which a file with nothing but debug info
// has the headers, lie where those of the program o do. It is no proof of the same build, but
// shows that a build ID which somebody has chosen is a wrong one.
func (o *elfFile) sameLayout(d *elfFile) bool {
	for _, name := range layoutSections {
		a, b := o.elf.Section(name), d.elf.Section(name)
		if a == nil && b == nil && name != ".text" {
			continue
		}
		if a == nil || b == nil || a.Addr != b.Addr || a.Size != b.Size {
			return false
		}
	}
	return true
}

// sameCode reports whether d, whose layout is the same, is a program with the same code
// and types: one that was built from the same source with other flags of the linker.
func (o *elfFile) sameCode(d *elfFile) bool {
	for _, name := range []string{".text", ".typelink", ".itablink", ".gopclntab"} {
		a, b := o.elf.Section(name), d.elf.Section(name)
		if a == nil && b == nil && name != ".text" {
			continue
		}
		if a.Type == elf.SHT_NOBITS || b.Type == elf.SHT_NOBITS || !bytes.Equal(o.raw(a), d.raw(b)) {
			return false
		}
	}
	return true
}
