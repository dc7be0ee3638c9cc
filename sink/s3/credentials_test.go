package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// fakeSTS is the service that gives credentials for roles.
type fakeSTS struct {
	mu       sync.Mutex
	requests []map[string]string
	refuse   string // the code of an error, "" for credentials
}

// startSTS starts one, and has the SDK use it.
func startSTS(t *testing.T) *fakeSTS {
	t.Helper()
	sts := &fakeSTS{}
	t.Setenv("AWS_ENDPOINT_URL_STS", serve(t, sts))
	return sts
}

func (s *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	seen := map[string]string{"key": ""}
	for name := range r.PostForm {
		seen[name] = r.PostForm.Get(name)
	}
	if _, credential, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		seen["key"], _, _ = strings.Cut(credential, "/")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, seen)
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", "STS1")
	if s.refuse != "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>said so</Message></Error><RequestId>STS1</RequestId></ErrorResponse>`, s.refuse)
		return
	}
	action := seen["Action"]
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
		<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>roletoken</SessionToken>
		<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action)
}

// take returns the requests since the last take.
func (s *fakeSTS) take() []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

// signers is a store that notes whose keys requests are signed with.
func signers(t *testing.T) (*store, func() []string) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(credential, "/")
		mu.Lock()
		seen[strings.TrimSpace(key+" "+r.Header.Get("X-Amz-Security-Token"))] = true
		mu.Unlock()
		next.ServeHTTP(w, r)
	})
	return st, func() (keys []string) {
		mu.Lock()
		defer mu.Unlock()
		for key := range seen {
			keys = append(keys, key)
		}
		clear(seen)
		return keys
	}
}

func put(t *testing.T, cfg s3.Config, n int) error {
	t.Helper()
	return open(t, cfg).Put(t.Context(), idAt(noon, n, "shop"), bytes.NewReader(content(100)))
}

// TestWebIdentity has what a Kubernetes pod with a role finds in its
// environment. Nothing of ours is involved but to let the SDK do its work.
func TestWebIdentity(t *testing.T) {
	sts := startSTS(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("the-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", role)
	t.Setenv("AWS_ROLE_SESSION_NAME", "pod-1")
	st, keys := signers(t)
	cfg := st.config(bucket, "")
	cfg.Credentials = nil
	s := open(t, cfg)
	if n := len(sts.take()); n > 0 {
		t.Errorf("New made %d requests", n)
	}
	for n := range 2 {
		if err := s.Put(t.Context(), idAt(noon, n, "shop"), bytes.NewReader(content(100))); err != nil {
			t.Fatal(err)
		}
	}
	requests := sts.take()
	if len(requests) != 1 {
		t.Fatalf("%d requests to STS, want 1", len(requests))
	}
	for name, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "RoleArn": role, "RoleSessionName": "pod-1", "WebIdentityToken": "the-token", "key": "",
	} {
		if got := requests[0][name]; got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	if got := keys(); len(got) != 1 || got[0] != "ASIAROLE roletoken" {
		t.Errorf("signed with %q", got)
	}

	sts.refuse = "InvalidIdentityToken"
	err := put(t, cfg, 3)
	for _, want := range []string{"cannot assume the role", "InvalidIdentityToken", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		if err == nil || !strings.Contains(err.Error(), want) || sink.IsPermanent(err) {
			t.Errorf("with a token that STS refuses: %v, want %q in it", err, want)
		}
	}
}

// TestAssumeRole checks that a role is assumed with the credentials at hand.
func TestAssumeRole(t *testing.T) {
	sts := startSTS(t)
	st, keys := signers(t)
	cfg := st.config(bucket, "")
	cfg.RoleARN, cfg.ExternalID, cfg.RoleSessionName = role, "the-id", "the-session"
	if err := put(t, cfg, 1); err != nil {
		t.Fatal(err)
	}
	cfg.ExternalID, cfg.RoleSessionName = "", ""
	if err := put(t, cfg, 2); err != nil {
		t.Fatal(err)
	}
	requests := sts.take()
	if len(requests) != 2 {
		t.Fatalf("%d requests to STS, want 2", len(requests))
	}
	for i, want := range []map[string]string{
		{"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": "the-session", "ExternalId": "the-id", "key": accessKey},
		{"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": "otelcoredumpy", "ExternalId": "", "key": accessKey},
	} {
		for name := range want {
			if got := requests[i][name]; got != want[name] {
				t.Errorf("request %d: %s %q, want %q", i, name, got, want[name])
			}
		}
	}
	if got := keys(); len(got) != 1 || got[0] != "ASIAROLE roletoken" {
		t.Errorf("signed with %q", got)
	}

	sts.refuse = "AccessDenied"
	err := put(t, cfg, 3)
	for _, want := range []string{"cannot assume the role " + role, "AccessDenied: said so", "sts:AssumeRole", "request STS1"} {
		if err == nil || !strings.Contains(err.Error(), want) || sink.IsPermanent(err) {
			t.Errorf("with a role that is not ours: %v, want %q in it", err, want)
		}
	}

	t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
	if err := put(t, cfg, 4); err == nil || !strings.Contains(err.Error(), "cannot reach STS") {
		t.Errorf("without STS: %v", err)
	}
}

// TestProfile checks that the profile is the one that is asked for.
func TestProfile(t *testing.T) {
	sts := startSTS(t)
	files := t.TempDir()
	config, secrets := filepath.Join(files, "config"), filepath.Join(files, "credentials")
	for name, text := range map[string]string{
		config: "[default]\nregion = us-west-1\n[profile shop]\nregion = eu-west-3\n" +
			"[profile role]\nregion = eu-west-3\nrole_arn = " + role + "\nsource_profile = shop\n",
		secrets: "[default]\naws_access_key_id = AKIDdefault\naws_secret_access_key = x\n[shop]\naws_access_key_id = AKIDshop\naws_secret_access_key = x\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", config)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", secrets)
	st, keys := signers(t)
	for n, tc := range []struct{ field, env, key string }{
		{"", "", "AKIDdefault"},
		{"shop", "", "AKIDshop"},
		{"", "shop", "AKIDshop"},
		{"shop", "default", "AKIDshop"},
		{"role", "", "ASIAROLE roletoken"},
	} {
		t.Setenv("AWS_PROFILE", tc.env)
		if tc.env == "" {
			os.Unsetenv("AWS_PROFILE")
		}
		cfg := st.config(bucket, "")
		cfg.Credentials, cfg.Profile = nil, tc.field
		if err := put(t, cfg, n); err != nil {
			t.Fatal(err)
		}
		if got := keys(); len(got) != 1 || got[0] != tc.key {
			t.Errorf("profile %q, AWS_PROFILE %q: signed with %q, want %q", tc.field, tc.env, got, tc.key)
		}
	}
	if requests := sts.take(); len(requests) != 1 || requests[0]["key"] != "AKIDshop" {
		t.Errorf("requests to STS: %v", requests)
	}
	amazon := s3.Config{Bucket: bucket, Profile: "shop"}
	if s := open(t, amazon); !strings.HasSuffix(s.String(), " in eu-west-3") {
		t.Errorf("%v, want the profile's region", s)
	}
}
