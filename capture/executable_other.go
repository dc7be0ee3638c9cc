//go:build !linux

package capture

import (
	"errors"
	"os"
	"runtime"
)

func openExecutable() (*os.File, uint64, error) {
	return nil, 0, errors.New("the running program's file cannot be read on " + runtime.GOOS)
}
