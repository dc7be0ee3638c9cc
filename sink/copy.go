package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// copySize is how much Copy reads and writes between two looks at the context.
const copySize = 256 << 10

// Copy writes all of src to w. It is for Sinks that write a dump front to back. A
// source that is not as long as it says is an error, one with a negative size a
// permanent one.
func Copy(ctx context.Context, w io.Writer, src Source) error {
	size := src.Size()
	if size < 0 {
		return Permanent(fmt.Errorf("source has a negative size, %d bytes", size))
	}
	buf := make([]byte, min(copySize, size))
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf[:min(int64(len(buf)), size-off)]
		n, err := src.ReadAt(chunk, off)
		if n < len(chunk) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the dump: %d of %d bytes: %w", off+int64(n), size, err)
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		off += int64(n)
	}
	return ctx.Err()
}
