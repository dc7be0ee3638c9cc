package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// The locked byte lies far behind the end of any file: locks on Windows also
// stop others from reading what is locked.
const lockedByte = 1 << 30 // times 2³²

func tryLock(f *os.File) (bool, error) {
	ok := false
	err := control(f, func(h windows.Handle) error {
		err := windows.LockFileEx(h, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
			&windows.Overlapped{OffsetHigh: lockedByte})
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
			return nil
		}
		ok = err == nil
		return err
	})
	if err != nil {
		return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return ok, nil
}

func unlock(f *os.File) error {
	err := control(f, func(h windows.Handle) error {
		return windows.UnlockFileEx(h, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
	})
	if err != nil {
		return &os.PathError{Op: "unlock", Path: f.Name(), Err: err}
	}
	return nil
}

func control(f *os.File, do func(windows.Handle) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := conn.Control(func(fd uintptr) { doErr = do(windows.Handle(fd)) }); err != nil {
		return err
	}
	return doErr
}
