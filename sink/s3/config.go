package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// The defaults of a [Config].
const (
	DefaultMultipartThreshold = 16 << 20
	DefaultPartSize           = 8 << 20
	DefaultConcurrency        = 4
)

// The limits of S3.
const (
	minPartSize = 5 << 20 // of a part that is not the last one
	maxPartSize = 5 << 30 // also the most that one request takes
	maxParts    = 10_000
	maxSize     = 5 << 40

	maxTags     = 10
	maxTagKey   = 128 // characters
	maxTagValue = 256

	maxExternalID = 1224

	// maxPrefix leaves room for the longest key of package sink in the 1,024
	// bytes that S3 allows.
	maxPrefix = 1024 - sink.MaxKey - len("/")

	// maxConcurrency is a limit of ours: more connections for one dump make
	// nothing faster.
	maxConcurrency = 64
)

// The values of Config.ChecksumMode.
const (
	ChecksumAuto          = "auto"
	ChecksumWhenSupported = "when_supported"
	ChecksumWhenRequired  = "when_required"
)

// defaultSession is the name of the session of an assumed role, which the
// account's log shows.
const defaultSession = "otelcoredumpy"

// Config says which bucket to use and how to reach it. Only Bucket is required.
type Config struct {
	// Bucket is the name of the bucket. Required. It must exist.
	Bucket string

	// Prefix is put in front of all keys, with a "/" between. Slashes at its
	// ends do not count. "" is the whole bucket.
	Prefix string

	// Endpoint is the URL of a store other than Amazon's, such as
	// "http://127.0.0.1:9000". "" means what the SDK finds in its environment
	// (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL), else Amazon S3.
	Endpoint string

	// Region is the bucket's region. "" means what the SDK finds in its
	// environment (AWS_REGION, the profile), and with an endpoint at last
	// "us-east-1".
	Region string

	// PathStyle puts the bucket into the path of the URL, not into the name
	// of the host. Most stores other than Amazon's want that.
	PathStyle bool

	// Profile is the profile of the AWS configuration files to use, before
	// anything else that there may be. "" means what the SDK finds in its
	// environment (AWS_PROFILE), else "default".
	Profile string

	// RoleARN is a role to assume before the bucket is used, with the
	// credentials that are there otherwise. Web identity (AWS_ROLE_ARN with
	// AWS_WEB_IDENTITY_TOKEN_FILE), container and instance roles, and the
	// role_arn of a profile need nothing here.
	RoleARN string

	// ExternalID is what the trust policy of RoleARN may ask for.
	ExternalID string

	// RoleSessionName is what the session of RoleARN is called in the
	// account's log. "" means "otelcoredumpy".
	RoleSessionName string

	// SSE is the encryption on the server's side: "AES256" (SSE-S3) or
	// "aws:kms" (SSE-KMS). "" means what the bucket does by itself.
	SSE string

	// KMSKeyID is the key for SSE "aws:kms": an ID, an ARN or an alias. ""
	// means the account's key for S3.
	KMSKeyID string

	// StorageClass is that of the dumps, such as "STANDARD_IA". "" means the
	// bucket's default. Markers have that always: they are empty and would
	// only cost the class's minimum. The classes that cannot be read at once
	// (GLACIER, DEEP_ARCHIVE) are refused.
	StorageClass string

	// Tags are set on dumps and markers, each as "key=value", at most ten. The
	// first "=" ends the key. They need the permission s3:PutObjectTagging.
	Tags []string

	// ChecksumMode says when the SDK sends and checks checksums of its own:
	// ChecksumWhenSupported, ChecksumWhenRequired, or ChecksumAuto (also ""),
	// which is ChecksumWhenRequired with an endpoint, because many stores
	// refuse them, and the SDK's own setting for Amazon S3. Without them there
	// is still the SHA-256 in the signature of each upload.
	ChecksumMode string

	// MultipartThreshold is the size in bytes from which on a dump goes up in
	// parts. 0 means DefaultMultipartThreshold. At most 5 GiB.
	MultipartThreshold int64

	// PartSize is the size in bytes of these parts, from 5 MiB to 5 GiB. 0
	// means DefaultPartSize. It grows for a dump that would have more than
	// 10,000 parts. A dump is also read in ranges of that size when it is
	// copied as a whole.
	PartSize int64

	// Concurrency is how many parts of one dump are sent at once, or read when
	// it is copied as a whole; of several dumps together twice as many are read
	// at once. 0 means DefaultConcurrency.
	Concurrency int

	// Proxy is the URL of a proxy for all connections, with http, https,
	// socks5 or socks5h. "" means HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
	Proxy string

	// CAFile is a file of certificates in PEM, whose authorities are trusted
	// besides those of the system.
	CAFile string

	// Credentials replaces the SDK's chain, if it is not nil.
	Credentials aws.CredentialsProvider

	// HTTPClient replaces the SDK's own, if it is not nil. Proxy and CAFile
	// must be empty then.
	HTTPClient aws.HTTPClient
}

// fieldError says what is wrong with one field of a configuration.
type fieldError struct {
	field string // as configuration files and URLs have it: "part_size"
	value string // what it is, if that may be shown
	msg   string
	err   error // what is behind it, if anything
}

func (e *fieldError) Error() string {
	if e.value == "" {
		return e.field + ": " + e.msg
	}
	return fmt.Sprintf("%s %q: %s", e.field, e.value, e.msg)
}

func (e *fieldError) Unwrap() error { return e.err }

func odd(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// settings is a Config whose fields were checked, with the defaults filled in.
type settings struct {
	Config
	prefix   string   // "" or ends in "/"
	endpoint string   // without a slash at the end
	tagging  string   // as the header wants it
	proxy    *url.URL // nil: from the environment
	roots    *x509.CertPool
}

// check finds mistakes in a configuration.
func check(cfg Config) (*settings, error) {
	s := &settings{Config: cfg, endpoint: strings.TrimRight(cfg.Endpoint, "/")}
	if err := checkBucket(cfg.Bucket); err != nil {
		return nil, err
	}
	var err error
	if s.prefix, err = checkPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	if err := checkEndpoint(cfg.Endpoint); err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, value string }{
		{"region", cfg.Region}, {"kms_key_id", cfg.KMSKeyID},
	} {
		if strings.ContainsFunc(f.value, odd) {
			return nil, &fieldError{field: f.name, value: f.value, msg: "has a space or a control character in it"}
		}
	}
	if err := checkRole(cfg); err != nil {
		return nil, err
	}
	if err := checkStorage(cfg); err != nil {
		return nil, err
	}
	if s.tagging, err = encodeTags(cfg.Tags); err != nil {
		return nil, err
	}
	if err := s.checkTransfer(); err != nil {
		return nil, err
	}
	if err := s.checkConnection(); err != nil {
		return nil, err
	}
	return s, nil
}

func checkBucket(bucket string) error {
	fail := func(msg string) error { return &fieldError{field: "bucket", value: bucket, msg: msg} }
	switch {
	case bucket == "":
		return errors.New("no bucket given")
	case strings.HasPrefix(bucket, "s3:"):
		return fail("give the bucket's name alone, and the path as the prefix")
	case strings.HasPrefix(bucket, "arn:") && !strings.ContainsFunc(bucket, odd):
		// An access point's name, which the SDK knows how to read.
	case strings.ContainsAny(bucket, "/:?#") || strings.ContainsFunc(bucket, odd):
		return fail("that is not the name of a bucket")
	}
	return nil
}

// checkPrefix returns the prefix as keys have it.
func checkPrefix(raw string) (string, error) {
	prefix := strings.Trim(raw, "/")
	if prefix == "" {
		return "", nil
	}
	if len(prefix) > maxPrefix {
		return "", &fieldError{field: "prefix", msg: fmt.Sprintf("has %d bytes, want at most %d", len(prefix), maxPrefix)}
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, unicode.IsControl) || !utf8.ValidString(part) {
			return "", &fieldError{field: "prefix", value: raw, msg: "want names separated by single slashes"}
		}
	}
	return prefix + "/", nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return &fieldError{field: "endpoint", value: redactUserinfo(endpoint), msg: "want a URL such as http://127.0.0.1:9000"}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return &fieldError{field: "endpoint", value: u.Scheme + "://" + u.Host, msg: "want no user, query or fragment in it"}
	}
	return nil
}

// redactUserinfo takes what may be a password out of a malformed URL.
func redactUserinfo(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// What STS takes, from the reference of its AssumeRole.
var (
	externalIDs  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
	sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

func checkRole(cfg Config) error {
	if cfg.RoleARN == "" {
		for _, f := range []struct{ name, value string }{
			{"external_id", cfg.ExternalID}, {"role_session_name", cfg.RoleSessionName},
		} {
			if f.value != "" {
				return &fieldError{field: f.name, msg: "is given without a role_arn"}
			}
		}
		return nil
	}
	role, err := arn.Parse(cfg.RoleARN)
	switch {
	case err != nil || role.Service != "iam" || !strings.HasPrefix(role.Resource, "role/") || strings.ContainsFunc(cfg.RoleARN, odd):
		return &fieldError{field: "role_arn", value: cfg.RoleARN, msg: "want the ARN of a role, such as arn:aws:iam::123456789012:role/dumps"}
	case cfg.ExternalID != "" && (!externalIDs.MatchString(cfg.ExternalID) || len(cfg.ExternalID) > maxExternalID):
		return &fieldError{field: "external_id", msg: "want 2 to 1,224 letters, digits and _+=,.@:/-"}
	case cfg.RoleSessionName != "" && !sessionNames.MatchString(cfg.RoleSessionName):
		return &fieldError{field: "role_session_name", value: cfg.RoleSessionName, msg: "want 2 to 64 letters, digits and _+=,.@-"}
	}
	return nil
}

var storageClasses = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

func checkStorage(cfg Config) error {
	switch types.ServerSideEncryption(cfg.SSE) {
	case "", types.ServerSideEncryptionAes256, types.ServerSideEncryptionAwsKms:
	default:
		return &fieldError{field: "sse", value: cfg.SSE, msg: "want AES256 or aws:kms"}
	}
	if cfg.KMSKeyID != "" && types.ServerSideEncryption(cfg.SSE) != types.ServerSideEncryptionAwsKms {
		return &fieldError{field: "kms_key_id", msg: "is given, but sse is not aws:kms"}
	}
	switch class := types.StorageClass(cfg.StorageClass); {
	case class == "":
	case !storageClasses.MatchString(cfg.StorageClass):
		return &fieldError{field: "storage_class", value: cfg.StorageClass, msg: "want a name such as STANDARD_IA"}
	case class == types.StorageClassGlacier || class == types.StorageClassDeepArchive:
		return &fieldError{
			field: "storage_class", value: cfg.StorageClass,
			msg: "a dump there could not be fetched before it was restored; GLACIER_IR can be read at once, and a lifecycle rule can move old dumps",
		}
	}
	return nil
}

// checkClass finds a storage class that Amazon has not got. Other stores may
// have any.
func checkClass(class string) error {
	known := types.StorageClass("").Values()
	if class == "" || slices.Contains(known, types.StorageClass(class)) {
		return nil
	}
	return &fieldError{field: "storage_class", value: class, msg: "want one of Amazon's, such as STANDARD_IA or INTELLIGENT_TIERING"}
}

// encodeTags checks tags against the limits of S3 and returns them as the
// header wants them: as the query of a URL.
func encodeTags(tags []string) (string, error) {
	if len(tags) > maxTags {
		return "", &fieldError{field: "tags", msg: fmt.Sprintf("are %d, S3 takes at most %d", len(tags), maxTags)}
	}
	seen := make(map[string]bool, len(tags))
	var b strings.Builder
	for _, tag := range tags {
		fail := func(msg string) (string, error) {
			return "", &fieldError{field: "tags", value: tag, msg: msg}
		}
		key, value, ok := strings.Cut(tag, "=")
		switch {
		case !ok || key == "":
			return fail("want key=value")
		case utf8.RuneCountInString(key) > maxTagKey:
			return fail(fmt.Sprintf("the key has %d characters, S3 takes at most %d", utf8.RuneCountInString(key), maxTagKey))
		case utf8.RuneCountInString(value) > maxTagValue:
			return fail(fmt.Sprintf("the value has %d characters, S3 takes at most %d", utf8.RuneCountInString(value), maxTagValue))
		case !utf8.ValidString(tag) || strings.ContainsFunc(tag, notInTags):
			return fail("S3 takes letters, digits, spaces and + - = . _ : / @")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return fail(`keys that begin with "aws:" are Amazon's own`)
		case seen[key]:
			return fail("the key is there twice")
		}
		seen[key] = true
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escapeTag(key) + "=" + escapeTag(value))
	}
	return b.String(), nil
}

func notInTags(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Zs, r) && !strings.ContainsRune("+-=._:/@", r)
}

// escapeTag writes a space as %20, which is a space however a store decodes it.
func escapeTag(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// checkTransfer checks how dumps go up and down, and fills in the defaults.
func (s *settings) checkTransfer() error {
	switch s.ChecksumMode {
	case "":
		s.ChecksumMode = ChecksumAuto
	case ChecksumAuto, ChecksumWhenSupported, ChecksumWhenRequired:
	default:
		return &fieldError{field: "checksum", value: s.ChecksumMode, msg: "want auto, when_supported or when_required"}
	}
	if s.MultipartThreshold == 0 {
		s.MultipartThreshold = DefaultMultipartThreshold
	}
	if s.MultipartThreshold < 0 || s.MultipartThreshold > maxPartSize {
		return &fieldError{field: "multipart_threshold", value: fmt.Sprint(s.MultipartThreshold), msg: "want 1 byte to 5 GiB"}
	}
	if s.PartSize == 0 {
		s.PartSize = DefaultPartSize
	}
	if s.PartSize < minPartSize || s.PartSize > maxPartSize {
		return &fieldError{field: "part_size", value: fmt.Sprint(s.PartSize), msg: "want 5 MiB to 5 GiB, in bytes"}
	}
	if s.Concurrency == 0 {
		s.Concurrency = DefaultConcurrency
	}
	if s.Concurrency < 0 || s.Concurrency > maxConcurrency {
		return &fieldError{field: "concurrency", value: fmt.Sprint(s.Concurrency), msg: fmt.Sprintf("want 1 to %d", maxConcurrency)}
	}
	return nil
}

// checkConnection checks proxy and authorities, and reads the latter.
func (s *settings) checkConnection() error {
	if s.HTTPClient != nil && s.Proxy != "" {
		return &fieldError{field: "proxy", msg: "is given besides an HTTP client, which has its own"}
	}
	if s.HTTPClient != nil && s.CAFile != "" {
		return &fieldError{field: "ca_file", msg: "is given besides an HTTP client, which has its own"}
	}
	if s.Proxy != "" {
		// Its password must not be in an error, so nothing of it is.
		u, err := url.Parse(s.Proxy)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return &fieldError{field: "proxy", msg: "want a URL such as http://proxy.example:3128, with http, https, socks5 or socks5h"}
		}
		s.proxy = u
	}
	if s.CAFile == "" {
		return nil
	}
	fail := func(err error) error {
		return &fieldError{field: "ca_file", value: s.CAFile, msg: err.Error(), err: err}
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		if perr := (*fs.PathError)(nil); errors.As(err, &perr) {
			err = perr.Err // the name is said already
		}
		return fail(err)
	}
	if s.roots, err = x509.SystemCertPool(); err != nil {
		s.roots = x509.NewCertPool()
	}
	if !s.roots.AppendCertsFromPEM(pem) {
		return fail(errors.New("has no certificate in PEM"))
	}
	return nil
}
