package capture

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
)

// infoCache is a folder with unpacked debug sections, one file for each program. It
// is as trusted as the program itself, for what it says decides what is
// read from the program's memory: a folder or a file that somebody other than the
// process's own user could have written is not used. A nil *infoCache has nothing and keeps
// nothing.
type infoCache struct {
	dir  string
	max  int64       // bytes of all files together
	warn func(error) // told why the cache is not used, if that is somebody's to mend
}

// cacheName is the folder in the user's cache folder.
const cacheName = "otelcoredumpy"

// CacheOff is the value of [DebugInfo.CacheDir] that stands for no cache.
const CacheOff = "off"

const defaultCacheBytes = 1 << 30

// cacheDir returns the folder that the configuration stands for, "" for none.
func (d *DebugInfo) cacheDir() string {
	switch d.CacheDir {
	case CacheOff:
		return ""
	case "":
		base, err := os.UserCacheDir()
		if err != nil || !filepath.IsAbs(base) {
			return ""
		}
		return filepath.Join(base, cacheName)
	}
	return d.CacheDir
}

func (d *DebugInfo) cache(warn func(error)) *infoCache {
	dir := d.cacheDir()
	if dir == "" || !haveCache {
		return nil
	}
	c := &infoCache{dir: dir, max: d.CacheMaxBytes, warn: warn}
	if c.max <= 0 {
		c.max = defaultCacheBytes
	}
	if c.warn == nil {
		c.warn = func(error) {}
	}
	return c
}

// A file of the cache: a header of one page, then the sections, each on a page's
// boundary. All numbers are little-endian.
//
//	 0  "CDMPDWF1"
//	 8  size of the file
//	16  key (see elfFile.contentKey)
//	48  number of sections
//	52  CRC-32C of the header, with zero in this place
//	56  for each section: its size (8 bytes), the CRC-32C of its content (4), zero (4)
//
// Which sections they are, and how large, is known from the program's file.
const (
	cacheMagic  = "CDMPDWF1"
	cacheHeader = 4096
	cacheSuffix = ".dwarf"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func cacheFile(key [32]byte) string { return hex.EncodeToString(key[:16]) + cacheSuffix }

// cacheLayout returns where each section lies in the file, and the file's size.
func cacheLayout(secs []section) (offs []uint64, size uint64) {
	size = cacheHeader
	for _, s := range secs {
		offs = append(offs, size)
		size += (s.size + cacheHeader - 1) &^ (cacheHeader - 1)
	}
	return offs, size
}

func makeCacheHeader(key [32]byte, size uint64, secs []section, sums []uint32) []byte {
	h := make([]byte, cacheHeader)
	copy(h, cacheMagic)
	binary.LittleEndian.PutUint64(h[8:], size)
	copy(h[16:], key[:])
	binary.LittleEndian.PutUint32(h[48:], uint32(len(secs)))
	for i, s := range secs {
		binary.LittleEndian.PutUint64(h[56+16*i:], s.size)
		binary.LittleEndian.PutUint32(h[56+16*i+8:], sums[i])
	}
	binary.LittleEndian.PutUint32(h[52:], crc32.Checksum(h, castagnoli))
	return h
}

// sectionsOfCache returns the sections in a mapped file of the cache, nil if it is torn, or
// of something else.
func sectionsOfCache(b []byte, key [32]byte, secs []section) [][]byte {
	offs, size := cacheLayout(secs)
	if uint64(len(b)) != size {
		return nil
	}
	var out [][]byte
	var sums []uint32
	for i, s := range secs {
		p := b[offs[i] : offs[i]+s.size : offs[i]+s.size]
		out, sums = append(out, p), append(sums, crc32.Checksum(p, castagnoli))
	}
	if string(b[:cacheHeader]) != string(makeCacheHeader(key, size, secs, sums)) {
		return nil
	}
	return out
}
