package capture

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// openExecutable maps the running program's file, and returns how far the process
// lies from the file's addresses: not at all unless it is position independent.
// The kernel passes the entry point's address (AT_ENTRY, getauxval(3)).
func openExecutable() (*elfFile, uint64, error) {
	f, err := os.Open("/proc/self/exe")
	if errors.Is(err, fs.ErrPermission) {
		return nil, 0, fmt.Errorf("opening the running program's file, which must be readable by its own user: %w", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("opening the running program's file: %w", err)
	}
	defer f.Close()
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		path = f.Name()
	}
	o, err := mapELF(strings.TrimSuffix(path, " (deleted)"), f)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the running program's file: %w", err)
	}
	if o.elf.Type != elf.ET_DYN {
		return o, 0, nil
	}
	aux, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		o.close()
		return nil, 0, fmt.Errorf("finding where the program was loaded: %w", err)
	}
	const atEntry = 9
	for ; len(aux) >= 16; aux = aux[16:] {
		if binary.NativeEndian.Uint64(aux) == atEntry {
			return o, binary.NativeEndian.Uint64(aux[8:]) - o.elf.Entry, nil
		}
	}
	o.close()
	return nil, 0, fmt.Errorf("finding where the program was loaded: the kernel did not say")
}

// openMapped maps the file that the address addr of this process belongs to, and returns how far
// the process lies from that file's addresses.
func openMapped(addr uint64) (*elfFile, uint64, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, 0, fmt.Errorf("finding the plugin's file: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		// "7f00-7fff r-xp 00001000 fd:00 4711    /path" (proc_pid_maps(5))
		var low, high, off, inode uint64
		var perms, dev string
		n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d", &low, &high, &perms, &off, &dev, &inode)
		at := strings.IndexByte(line, '/')
		if n < 6 || addr < low || addr >= high || at < 0 {
			continue
		}
		path := strings.TrimSuffix(line[at:], "\n")
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, fmt.Errorf("opening the plugin's file: %w", err)
		}
		defer f.Close()
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil || st.Ino != inode {
			return nil, 0, fmt.Errorf("%s is not the file any more that the plugin was loaded from", path)
		}
		o, err := mapELF(path, f)
		if err != nil {
			return nil, 0, err
		}
		for _, p := range o.elf.Progs {
			if p.Type == elf.PT_LOAD && p.Off&^4095 <= off && off < p.Off+p.Filesz {
				return o, low - (p.Vaddr - p.Off + off), nil
			}
		}
		o.close()
		return nil, 0, fmt.Errorf("%s does not say where it was loaded", path)
	}
	return nil, 0, errors.New("the plugin's file is not known")
}
