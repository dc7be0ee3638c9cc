// Package versitygw runs a real S3 server for tests, as a process of its own on
// a folder of the test's: https://github.com/versity/versitygw.
package versitygw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// What clients sign with.
const (
	AccessKey = "AKIDtest"
	SecretKey = "secret"
	Region    = "us-east-1"
)

// Variable is the environment variable that names the binary; without it the
// one in PATH is taken.
const Variable = "COREDUMPY_VERSITYGW"

// Server is a server on loopback. Its data outlive Stop, until the test ends.
type Server struct {
	Endpoint string

	binary, addr, data, sidecar string

	stop func()
}

// Start starts a server, which stops when the test ends. Without a binary it
// skips the test and says what to do.
func Start(t testing.TB) *Server {
	t.Helper()
	binary := os.Getenv(Variable)
	if binary == "" {
		found, err := exec.LookPath("versitygw")
		if err != nil {
			t.Skip("no real S3 server: versitygw is not in PATH and " + Variable + " does not name it; " +
				"make test installs it")
		}
		binary = found
	}
	s := &Server{binary: binary, data: t.TempDir(), sidecar: t.TempDir()}
	t.Cleanup(s.Stop)
	// Between the choice of a port and the server's use of it somebody else
	// can take it.
	const attempts = 5
	for n := 1; ; n++ {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = free.Addr().String()
		s.Endpoint = "http://" + s.addr
		free.Close()
		if err = s.run(); err == nil {
			return s
		}
		if n == attempts {
			t.Fatalf("versitygw does not start: %v", err)
		}
	}
}

// Stop kills the server. Its own shutdown waits for idle connections.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Restart starts a server that was stopped, at the same address and with the
// same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("versitygw does not start again: %v", err)
	}
}

func (s *Server) run() error {
	var output bytes.Buffer
	// The sidecar keeps metadata where the file system has no extended
	// attributes.
	cmd := exec.Command(s.binary, "--port", s.addr, "--quiet", "posix", "--sidecar", s.sidecar, s.data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	timeout := time.After(30 * time.Second)
	for {
		resp, err := http.Get(s.Endpoint)
		if err == nil {
			resp.Body.Close()
			s.stop = stop
			return nil
		}
		select {
		case <-retry.C:
		case err := <-ended:
			return fmt.Errorf("it ended with %w: %s", errors.Join(err, errors.New("no answer")), output.String())
		case <-timeout:
			stop()
			return fmt.Errorf("no answer: %w: %s", err, output.String())
		}
	}
}

// Client returns a client of the server.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	})
}

// CreateBucket makes a bucket.
func (s *Server) CreateBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.Client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatalf("make bucket %s: %v", name, err)
	}
}

// Env returns the environment in which the AWS SDK of a process talks to the
// server.
func (s *Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_REGION=" + Region, "AWS_EC2_METADATA_DISABLED=true",
	}
}
