package s3_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// certificate makes one that signs itself, and the file to trust it by.
func certificate(t *testing.T, host string, notAfter time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "store"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// serveTLS starts an HTTPS server and returns its URL.
func serveTLS(t *testing.T, h http.Handler, cert tls.Certificate) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// passOn is a handler that passes requests on to a store under the host that
// they were signed for.
func passOn(t *testing.T, to *store) http.Handler {
	t.Helper()
	target, err := url.Parse(to.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
}

// TestTLS stores and reads dumps of a server whose certificate only CAFile
// makes known. Over TLS checksums come behind the body.
func TestTLS(t *testing.T) {
	behind := versitygw(t)
	behind.createBucket(t, bucket)
	cert, file := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	st := newStore(t, serveTLS(t, passOn(t, behind), cert))
	for n, mode := range []string{s3.ChecksumAuto, s3.ChecksumWhenSupported} {
		cfg := st.config(bucket, "")
		cfg.CAFile, cfg.ChecksumMode, cfg.MultipartThreshold, cfg.PartSize = file, mode, 1<<20, 5<<20
		s := open(t, cfg)
		for i, size := range []int{0, 1000, 11 << 20} {
			id, b := idAt(noon, 10*n+i, "shop"), content(size)
			for range 2 {
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Fatalf("%s, %d bytes: %v", mode, size, err)
				}
			}
			obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			if err := download(obj, b); err != nil {
				t.Errorf("%s, %d bytes: %v", mode, size, err)
			}
			obj.Close()
		}
	}
}

// TestTLSTrouble checks what is said of certificates.
func TestTLSTrouble(t *testing.T) {
	good, goodFile := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	old, oldFile := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	other, otherFile := certificate(t, "store.example", time.Now().Add(time.Hour))
	h := fakeHandler()
	plain := serve(t, h)
	for _, tc := range []struct {
		name, endpoint, file string
		want                 []string
	}{
		{"unknown", serveTLS(t, h, good), "", []string{"signed by an authority that this machine does not know", "ca_file"}},
		{"another authority", serveTLS(t, h, good), otherFile, []string{"signed by an authority that this machine does not know"}},
		{"expired", serveTLS(t, h, old), oldFile, []string{"expired", "renew its certificate, or set the clock"}},
		{"another name", serveTLS(t, h, other), otherFile, []string{"its certificate is for another name", "check the endpoint"}},
		{"no TLS", "https" + strings.TrimPrefix(plain, "http"), goodFile, []string{"does not speak TLS: the endpoint must begin with http://"}},
		{"TLS wanted", serve(t, http.HandlerFunc(wantTLS)), "", []string{"if it wants TLS, the endpoint must begin with https://"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, s3.Config{Bucket: bucket, Endpoint: tc.endpoint, PathStyle: true, Credentials: keyPair, CAFile: tc.file})
			for call, err := range calls(t, s) {
				for _, want := range append(tc.want, s.String()) {
					if err == nil || !strings.Contains(err.Error(), want) || sink.IsPermanent(err) {
						t.Errorf("%s: %v, want %q in it", call, err, want)
					}
				}
			}
		})
	}
}

// wantTLS answers as nginx does to whom it should speak TLS with. Go's server
// does much the same, but hangs up before that arrives for certain.
func wantTLS(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, "<html>\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\n")
}

// TestRewrittenAcceptEncoding has a proxy in front of a server that verifies
// signatures, which changes a header as Google's does.
func TestRewrittenAcceptEncoding(t *testing.T) {
	f := newFront(t, versitygw(t), bucketName())
	f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("%s accepts %q", operation(r), got)
		}
		if strings.Contains(r.Header.Get("Authorization"), "accept-encoding") {
			t.Errorf("%s has it signed", operation(r))
		}
		r.Header.Set("Accept-Encoding", "identity,gzip(gfe)")
		next.ServeHTTP(w, r)
	})
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 5<<20, 5<<20)
	for n, size := range []int{1000, 6 << 20} {
		id, b := idAt(noon, n, "shop"), content(size)
		if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := download(obj, b); err != nil {
			t.Error(err)
		}
		obj.Close()
	}
	if entries, err := s.Trace(t.Context(), idAt(noon, 0, "").TraceID); err != nil || len(entries) != 2 {
		t.Errorf("Trace: %v, %v", entries, err)
	}
}

// httpProxy is a proxy as companies have it: for plain requests and for
// tunnels, open to one user.
type httpProxy struct {
	user     string // "user:password", "" for everybody
	requests atomic.Int64
	tunnels  sync.WaitGroup
}

func (p *httpProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
	if p.user != "" && r.Header.Get("Proxy-Authorization") != want {
		w.Header().Set("Proxy-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Proxy-Authorization")
		}, ErrorLog: log.New(io.Discard, "", 0)}).ServeHTTP(w, r)
		return
	}
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.tunnels.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(server, client); server.Close() })
		both.Go(func() { _, _ = io.Copy(client, server); client.Close() })
		both.Wait()
	})
}

func TestProxy(t *testing.T) {
	h := fakeHandler()
	cert, file := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	plain, secure := newStore(t, serve(t, h)), newStore(t, serveTLS(t, h, cert))
	plain.createBucket(t, bucket)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	nobody := secure.endpoint[:strings.LastIndexByte(secure.endpoint, ':')] + ":1"
	for n, tc := range []struct {
		name     string
		endpoint string
		user     string
		proxy    func(address string) string
		want     string // in the error
	}{
		{"plain", plain.endpoint, "", func(a string) string { return "http://" + a }, ""},
		{"tunnel", secure.endpoint, "", func(a string) string { return "http://" + a }, ""},
		{"plain with a password", plain.endpoint, "me:hunter2", func(a string) string { return "http://me:hunter2@" + a }, ""},
		{"tunnel with a password", secure.endpoint, "me:hunter2", func(a string) string { return "http://me:hunter2@" + a }, ""},
		{"plain without a password", plain.endpoint, "me:hunter2", func(a string) string { return "http://" + a }, "wants a user and a password (HTTP 407)"},
		{"tunnel with a wrong password", secure.endpoint, "me:hunter2", func(a string) string { return "http://me:hunter3@" + a }, "wants a user and a password (HTTP 407)"},
		{"tunnel to nobody", nobody, "", func(a string) string { return "http://" + a }, "refuses the connection with HTTP 502"},
		{"no proxy", plain.endpoint, "", func(string) string { return "http://me:hunter2@" + closed.Addr().String() }, "cannot reach the proxy: dial tcp"},
		{"no proxy, tunnel", secure.endpoint, "", func(string) string { return "http://" + closed.Addr().String() }, "cannot reach the proxy: dial tcp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := &httpProxy{user: tc.user}
			address := strings.TrimPrefix(serve(t, proxy), "http://")
			cfg := s3.Config{Bucket: bucket, Endpoint: tc.endpoint, PathStyle: true, Credentials: keyPair, CAFile: file, Proxy: tc.proxy(address)}
			s := open(t, cfg)
			err := s.Put(t.Context(), idAt(noon, n, "shop"), bytes.NewReader(content(1000)))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || sink.IsPermanent(err)) {
				t.Errorf("Put: %v, want %q", err, tc.want)
			}
			if strings.Contains(s.String(), "hunter") || err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("the password is shown: %v, %v", s, err)
			}
			if tc.want == "" && proxy.requests.Load() == 0 {
				t.Error("nothing went through the proxy")
			}
		})
	}
}

// TestProxyOfEnvironment checks that the usual variables are still heard if
// the configuration says nothing. They do not hold for 127.0.0.1.
func TestProxyOfEnvironment(t *testing.T) {
	cfg := s3.Config{Bucket: bucket, Endpoint: "http://store.example", PathStyle: true, Credentials: keyPair}
	// net/http reads them once in a process, so this one has to be another.
	if os.Getenv("COREDUMPY_TEST_PROXIED") == "" {
		var asked atomic.Value
		proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.URL.String())
			refuse(w, 404, "NoSuchBucket", "no")
		}))
		out, err := rerun(t, "TestProxyOfEnvironment", "COREDUMPY_TEST_PROXIED=1", "HTTP_PROXY="+proxy, "http_proxy="+proxy)
		if got, _ := asked.Load().(string); err != nil || !strings.HasPrefix(got, "http://store.example/dumps/") {
			t.Errorf("the proxy was asked for %q, %v: %s", got, err, out)
		}
		return
	}
	if err := put(t, cfg, 1); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("Put: %v", err)
	}
}

// TestConnectionsAreKept reads many dumps at once, twice, and counts the
// connections: those of the first round serve the second.
func TestConnectionsAreKept(t *testing.T) {
	const atOnce = 32
	var opened atomic.Int64
	var waiting sync.WaitGroup
	inner := fakeHandler()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Range") != "" {
			waiting.Done()
			waiting.Wait() // until all are under way
		}
		inner.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	st := newStore(t, server.URL)
	st.createBucket(t, bucket)
	s := open(t, st.config(bucket, ""))
	id, b := idAt(noon, 1, "shop"), content(1000)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	opened.Store(0)
	for round := range 2 {
		waiting.Add(atOnce)
		var readers sync.WaitGroup
		for range atOnce {
			readers.Go(func() {
				obj, err := s.Open(context.Background(), sink.Entry{Identity: id})
				if err != nil {
					t.Error(err)
					return
				}
				defer obj.Close()
				if err := download(obj, b); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if n := opened.Swap(0); round == 0 && n < atOnce-1 || round == 1 && n > 0 {
			t.Errorf("round %d opened %d connections", round, n)
		}
	}
}
