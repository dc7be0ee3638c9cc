package capture

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// openExecutable opens the running program's file, and returns how far the process
// lies from the file's addresses: not at all unless it is position independent.
// The kernel passes the entry point's address (AT_ENTRY, getauxval(3)).
func openExecutable() (*os.File, uint64, error) {
	f, err := os.Open("/proc/self/exe")
	if errors.Is(err, fs.ErrPermission) {
		return nil, 0, fmt.Errorf("opening the running program's file, which must be readable by its own user: %w", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("opening the running program's file: %w", err)
	}
	ef, err := elf.NewFile(f)
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("reading the running program's file: %w", err)
	}
	if ef.Type != elf.ET_DYN {
		return f, 0, nil
	}
	aux, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("finding where the program was loaded: %w", err)
	}
	const atEntry = 9
	for ; len(aux) >= 16; aux = aux[16:] {
		if binary.NativeEndian.Uint64(aux) == atEntry {
			return f, binary.NativeEndian.Uint64(aux[8:]) - ef.Entry, nil
		}
	}
	f.Close()
	return nil, 0, fmt.Errorf("finding where the program was loaded: the kernel did not say")
}
