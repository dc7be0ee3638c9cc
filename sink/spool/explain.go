package spool

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// thereError is an error of the destination. What can be done about one of the
// spool folder does not help there, even if the destination is a folder as well.
type thereError struct{ err error }

func (e *thereError) Error() string { return e.err.Error() }
func (e *thereError) Unwrap() error { return e.err }

// there marks an error as one of the destination.
func there(err error) error {
	if err == nil {
		return nil
	}
	return &thereError{err}
}

// explain adds to an error of the spool folder what can be done about it. It leaves
// alone what holds an error of the destination.
func (s *Spool) explain(err error) error {
	hint := ""
	var at *thereError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &at):
		return err
	case disk.IsFull(err):
		hint = "the disk is full; make room there, or put the spool on another disk"
	case errors.Is(err, ErrFull):
		hint = "raise its bounds, make room on its disk, or see why the destination does not take the dumps"
	case disk.IsReadOnly(err):
		hint = "the file system is read only; put the spool on one that can be written to"
	case errors.Is(err, fs.ErrPermission):
		hint = "let this process's user own the folder, or put the spool into another one"
	case errors.Is(err, disk.ErrNotDir):
		hint = "move the file away, or put the spool into another folder"
	default:
		return err
	}
	return fmt.Errorf("%w (spool %s: %s)", err, s.dir, hint)
}
