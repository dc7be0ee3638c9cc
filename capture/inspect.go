package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// InfoReport says what debug info a program has.
type InfoReport struct {
	File     string     // where it is: the program's own file, or a separate one; "" if there is none
	Separate bool       // it is a separate file
	Looked   []LookedAt // where a separate file was looked for
	BuildID  string     // of the program, as linkers write it, in hexadecimal
	GoID     string     // of the program, as go tool buildid prints it

	Versions    []int  // of DWARF; units of C may have another one than those of Go
	Compression string // "none", "zlib" or "zstd"
	Bytes       uint64 // size of the debug sections, unpacked
	PackedBytes uint64 // their size in the file
	Functions   int
	Plain       bool // not optimised: built with -gcflags=all=-N

	Cached bool // it lies unpacked in the cache
}

// InspectDebugInfo reports on the debug info of the ELF file at path, found as the program
// itself would find it. The error says why there is none that can be used.
// The cache is looked at but not filled.
func InspectDebugInfo(path string, cfg DebugInfo) (r InfoReport, err error) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	exe, err := openELF(path)
	if err != nil {
		return r, err
	}
	defer exe.close()
	_ = shielded(func() error {
		ids := exe.buildIDs()
		r.BuildID, r.GoID = ids.gnu, ids.gc
		return nil
	})
	o, looked, err := findDebugInfo(exe, &cfg)
	r.Looked = looked
	if err != nil {
		return r, err
	}
	if r.File, r.Separate = o.path, o != exe; r.Separate {
		defer o.close()
	}
	err = shielded(func() error {
		secs, err := o.debugSections()
		if err != nil {
			return err
		}
		kinds := plain
		var packed []section
		for _, s := range secs {
			r.Bytes += s.size
			r.PackedBytes += uint64(len(s.raw))
			if s.packing != plain {
				packed = append(packed, s)
			}
			kinds = max(kinds, s.packing)
		}
		r.Compression = kinds.String()
		if len(packed) > 0 {
			r.Cached = cfg.cache(nil).load(o.contentKey(packed), packed) != nil
		}
		di, err := readDebugInfo(o, 0, nil)
		if err != nil {
			return err
		}
		r.Functions = len(di.frames.fdes)
		seen := map[int]bool{}
		r.Plain = len(di.units) > 0
		for _, u := range di.units {
			if !seen[u.version] {
				seen[u.version] = true
				r.Versions = append(r.Versions, u.version)
			}
			if u.name == "main" || strings.Contains(u.name, ".") {
				r.Plain = r.Plain && !u.optimized
			}
		}
		return nil
	})
	return r, err
}

// CacheReport says what the cache of debug info holds.
type CacheReport struct {
	Dir   string // "" if there is none
	Files int
	Bytes int64
	Max   int64
}

// InspectCache reports on the cache. The error says why it is not used; if that is
// because it is not there yet, it is fs.ErrNotExist.
func InspectCache(cfg DebugInfo) (r CacheReport, err error) {
	c := cfg.cache(nil)
	if c == nil {
		return r, nil
	}
	r.Dir, r.Max = c.dir, c.max
	root, err := c.open(false)
	if err != nil {
		return r, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return r, fmt.Errorf("listing the debug info cache: %w", err)
	}
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, os.ErrNotExist) || err == nil && (!st.Mode().IsRegular() || !strings.HasSuffix(e.Name(), cacheSuffix)) {
			continue
		}
		if err != nil {
			return r, fmt.Errorf("listing the debug info cache: %w", err)
		}
		r.Files++
		r.Bytes += st.Size()
	}
	return r, nil
}
