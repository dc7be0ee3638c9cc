package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/otelcoredumpy/otelcoredumpy/internal/bubble"
)

// compressMin is the payload length below which compression is not tried.
const compressMin = 64

// encoderPools keep one encoder per level and processor, because making one
// costs more than compressing a chunk.
var encoderPools [zstd.SpeedBestCompression + 1]sync.Pool

// compress appends the zstd frame of src to dst.
func compress(dst, src []byte, level zstd.EncoderLevel) ([]byte, error) {
	pool := &encoderPools[level]
	if bubble.Here() {
		pool = &sync.Pool{} // an encoder has channels
	}
	enc, _ := pool.Get().(*zstd.Encoder)
	if enc == nil {
		var err error
		enc, err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(level),
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), // the frame header has a checksum
			zstd.WithWindowSize(1<<18),
			zstd.WithLowerEncoderMem(true),
		)
		if err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
	}
	dst = enc.EncodeAll(src, dst)
	pool.Put(enc)
	return dst, nil
}

// decompressors keeps decoders of payloads, which have some hundred kilobytes each,
// and no goroutines.
var decompressors sync.Pool

// decompressor returns a decoder of the payload that was compressed into src,
// piece by piece, or of any payload as a whole. It must be given back.
func decompressor(src []byte) (*zstd.Decoder, error) {
	pool := &decompressors
	if bubble.Here() {
		pool = &sync.Pool{} // a decoder has channels
	}
	dec, _ := pool.Get().(*zstd.Decoder)
	if dec == nil {
		var err error
		dec, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxSection),
			zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecodeAllCapLimit(true),
		)
		if err != nil {
			return nil, fmt.Errorf("make zstd decoder: %w", err)
		}
	}
	if src != nil {
		if err := dec.Reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
	}
	return dec, nil
}

func freeDecompressor(dec *zstd.Decoder) {
	if dec.Reset(nil) == nil && !bubble.Here() { // forgets its source
		decompressors.Put(dec)
	}
}

var errRawLength = errors.New("payload has another length than is declared")

// plausible is how long a payload may be declared to be for its memory to be
// allocated at once: ordinary data compresses no better than that.
func plausible(stored int) int { return 64*stored + 1<<20 }

// decompress returns the payload that was compressed into src. raw is its
// length as the file declares it, at most maxSection. It is not trusted:
// whatever it says, memory is allocated in proportion to src or to what has
// really been decompressed, and the result has that length or is an error.
func decompress(src []byte, raw int) ([]byte, error) {
	if raw <= plausible(len(src)) {
		dec, err := decompressor(nil)
		if err != nil {
			return nil, err
		}
		defer freeDecompressor(dec)
		out, err := dec.DecodeAll(src, make([]byte, 0, raw))
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || err == nil && len(out) != raw {
			return nil, errRawLength
		}
		return out, err
	}
	dec, err := decompressor(src)
	if err != nil {
		return nil, err
	}
	defer freeDecompressor(dec)
	for out := make([]byte, 0, plausible(len(src))); ; {
		n, err := io.ReadFull(dec, out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if len(out) != raw {
				return nil, errRawLength
			}
			return out, nil
		case err != nil:
			return nil, err
		case len(out) > raw:
			return nil, errRawLength
		}
		// Full, and all of it is real: room for as much again, and for one byte
		// more than there should be.
		out = slices.Grow(out, min(len(out), raw+1-len(out)))
	}
}
