//go:build !linux

package capture

import "os"

func openExecutable() (*os.File, uint64, error) { return nil, 0, errUnsupportedOS }
