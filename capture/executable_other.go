//go:build !linux

package capture

import (
	"errors"
	"runtime"
)

func openExecutable() (*elfFile, uint64, error) {
	return nil, 0, errors.New("the running program's file cannot be read on " + runtime.GOOS)
}

func openMapped(uint64) (*elfFile, uint64, error) {
	return nil, 0, errors.New("plugins' files are not known on " + runtime.GOOS)
}
