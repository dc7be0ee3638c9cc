package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// pump copies one direction of a connection until it ends or fails.
type pump func(dst, src *net.TCPConn)

func plain(dst, src *net.TCPConn) {
	_, _ = io.Copy(dst, src)
	_ = dst.CloseWrite()
}

// bytewise sends each byte by itself, and a pause after each.
func bytewise(pause time.Duration) pump {
	return func(dst, src *net.TCPConn) {
		defer dst.CloseWrite()
		_ = dst.SetNoDelay(true)
		var tick <-chan time.Time
		if pause > 0 {
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			tick = ticker.C
		}
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			for i := range n {
				if tick != nil {
					<-tick
				}
				if _, err := dst.Write(buf[i : i+1]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// after passes so many bytes on and then does something else.
func after(n int64, then pump) pump {
	return func(dst, src *net.TCPConn) {
		if _, err := io.CopyN(dst, src, n); err != nil {
			_ = dst.CloseWrite()
			return
		}
		then(dst, src)
	}
}

// resetBoth breaks both connections.
func resetBoth(dst, src *net.TCPConn) {
	for _, conn := range []*net.TCPConn{dst, src} {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

// endHere says that nothing more comes, and takes what still does.
func endHere(dst, src *net.TCPConn) {
	_ = dst.CloseWrite()
	_, _ = io.Copy(io.Discard, src)
}

// hold passes nothing on and ends nothing.
func hold(_, src *net.TCPConn) { _, _ = io.Copy(io.Discard, src) }

// wire is a proxy below HTTP.
type wire struct {
	mu       sync.Mutex
	up, down pump
}

// newWire starts a proxy in front of a store, and returns the store behind it.
func newWire(t *testing.T, behind *store) (*wire, *store) {
	t.Helper()
	target, err := url.Parse(behind.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{up: plain, down: plain}
	var running sync.WaitGroup
	var mu sync.Mutex
	var conns []*net.TCPConn
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target.Host)
			if err != nil {
				client.Close()
				continue
			}
			c, s := client.(*net.TCPConn), server.(*net.TCPConn)
			mu.Lock()
			conns = append(conns, c, s)
			mu.Unlock()
			w.mu.Lock()
			up, down := w.up, w.down
			w.mu.Unlock()
			running.Go(func() {
				var both sync.WaitGroup
				both.Go(func() { up(s, c) })
				both.Go(func() { down(c, s) })
				both.Wait()
				c.Close()
				s.Close()
			})
		}
	})
	return w, newStore(t, "http://"+listener.Addr().String())
}

// set says what happens to connections that are made from now on.
func (w *wire) set(up, down pump) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.down = up, down
}

// TestWire lets connections be slow or break at a byte.
func TestWire(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			behind := server.start(t)
			w, st := newWire(t, behind)
			for n, tc := range []struct {
				name     string
				up, down pump
				timeout  time.Duration
				put, get string // in the error, "" for success
			}{
				{"byte by byte", bytewise(0), bytewise(0), time.Minute, "", ""},
				{"a byte now and then up", bytewise(20 * time.Millisecond), plain, 300 * time.Millisecond, "deadline", "deadline"},
				{"a byte now and then down", plain, bytewise(20 * time.Millisecond), 300 * time.Millisecond, "deadline", "deadline"},
				{"nothing gets through", hold, plain, 300 * time.Millisecond, "deadline", "deadline"},
				{"no answer gets through", plain, hold, 300 * time.Millisecond, "deadline", "deadline"},
				{"reset in the request", after(20_000, resetBoth), plain, 10 * time.Second, brokeOff, ""},
				{"reset in the answer", plain, after(20_000, resetBoth), 10 * time.Second, "", brokeOff},
				{"half-closed in the request", after(20_000, endHere), plain, 10 * time.Second, "the store", ""},
				{"half-closed in the answer", plain, after(20_000, endHere), 10 * time.Second, "", brokeOff},
			} {
				for _, parts := range []bool{false, true} {
					if parts && tc.name == "byte by byte" && server.partSize > 1<<20 {
						continue // takes minutes
					}
					t.Run(fmt.Sprintf("%s/parts=%t", tc.name, parts), func(t *testing.T) {
						bucket := bucketName()
						behind.createBucket(t, bucket)
						direct := open(t, behind.config(bucket, ""))
						size := 100_000
						sinkOf := func() *s3.Sink { // has connections of its own
							s := open(t, st.config(bucket, ""))
							if parts {
								s3.SetParts(s, server.partSize, server.partSize)
								size = int(server.partSize) + 50_000
							}
							return s
						}
						id := idAt(noon, n, "shop")
						w.set(tc.up, tc.down)
						s := sinkOf()
						b := content(size)
						err := bounded(t, tc.timeout, func(ctx context.Context) error {
							return s.Put(ctx, id, bytes.NewReader(b))
						})
						wantBounded(t, "Put", err, tc.put)
						if obj, oerr := direct.Open(t.Context(), sink.Entry{Identity: id}); oerr == nil {
							if derr := download(obj, b); derr != nil {
								t.Errorf("after %v there is another dump than was put: %v", err, derr)
							}
							obj.Close()
						} else if !errors.Is(oerr, sink.ErrNotFound) || err == nil {
							t.Errorf("after %v: %v", err, oerr)
						}

						w.set(plain, plain)
						if err := sinkOf().Put(t.Context(), id, bytes.NewReader(b)); err != nil {
							t.Fatalf("the second Put: %v", err)
						}
						w.set(tc.up, tc.down)
						s = sinkOf()
						err = bounded(t, tc.timeout, func(ctx context.Context) error {
							obj, err := s.Open(ctx, sink.Entry{Identity: id})
							if err != nil {
								return err
							}
							defer obj.Close()
							return download(obj, b)
						})
						wantBounded(t, "Open", err, tc.get)
						w.set(plain, plain)
						obj, err := sinkOf().Open(t.Context(), sink.Entry{Identity: id})
						if err != nil {
							t.Fatal(err)
						}
						if err := download(obj, b); err != nil {
							t.Error(err)
						}
						obj.Close()
					})
				}
			}
		})
	}
}

func wantBounded(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want == "deadline" && (!errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "operation error")):
		t.Errorf("%s: %v, want the context's error", what, err)
	case want != "" && (err == nil || want != "deadline" && !strings.Contains(err.Error(), want) || sink.IsPermanent(err)):
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}
