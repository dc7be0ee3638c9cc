package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// explained is an error of the SDK in words that say what to do.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// permissions are what a request needs, as a policy names it.
type permissions string

const (
	mayRead   permissions = "s3:GetObject"
	mayList   permissions = "s3:ListBucket"
	mayWrite  permissions = "s3:PutObject"
	mayDelete permissions = "s3:DeleteObject"
	mayAbort  permissions = "s3:AbortMultipartUpload"
)

// explain says what an error of a request means, and marks it for whoever
// considers trying again.
func (s *Sink) explain(ctx context.Context, err error, needs permissions) error {
	if ctx.Err() != nil {
		// The caller's doing, whatever the store would have said.
		return ctx.Err()
	}
	switch errorCode(err) {
	case "NoSuchKey", "NotFound":
		// Nothing is missing that a write, or a listing, could ask for: then it
		// was not the store that answered, but an ingress without one, say.
		if (needs == mayRead || needs == mayDelete) && !isCredentials(err) {
			return fmt.Errorf("%w", sink.ErrNotFound)
		}
	case "EntityTooLarge", "KeyTooLongError":
		return sink.Permanent(&explained{s.answerText(err, needs), err})
	}
	return sink.WithRetryAfter(&explained{s.text(err, needs), err}, retryAfter(err))
}

// text says what an error of a request means.
func (s *Sink) text(err error, needs permissions) string {
	var provider *credentialsError
	if errors.As(err, &provider) {
		return s.credentialsText(provider.err)
	}
	if status, _ := response(err); status != 0 {
		return s.answerText(err, needs)
	}
	return s.networkText(err, "the store", "check the endpoint and the network")
}

// credentialsText says why there are no credentials.
func (s *Sink) credentialsText(err error) string {
	var op *smithy.OperationError
	if !errors.As(err, &op) || op.Service() != "STS" {
		return fmt.Sprintf("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "+
			"choose a profile with AWS_PROFILE, or give the machine a role (%v)", err)
	}
	status, header := response(err)
	if status == 0 {
		return s.networkText(err, "STS, which gives the credentials of the role", "check the network")
	}
	code, message := answer(err)
	role := "the role"
	if s.cfg.RoleARN != "" && op.Operation() == "AssumeRole" {
		role = "the role " + s.cfg.RoleARN
	}
	hint := ""
	switch code {
	case "AccessDenied":
		hint = ": the credentials need sts:AssumeRole, and the role's trust policy must name who asks"
		if op.Operation() == "AssumeRoleWithWebIdentity" {
			hint = ": the role's trust policy must allow sts:AssumeRoleWithWebIdentity to this identity"
		}
	case "ExpiredTokenException", "InvalidIdentityToken":
		hint = ": the token in AWS_WEB_IDENTITY_TOKEN_FILE is not, or no longer, valid"
	}
	return fmt.Sprintf("cannot assume %s: STS answered %s: %s (HTTP %d, request %s)%s",
		role, code, message, status, header.Get("X-Amzn-Requestid"), hint)
}

// expecting is where S3 and those who copy it say in which region a bucket lies.
var expecting = regexp.MustCompile(`expecting '([a-z0-9-]+)'`)

// action is where S3 says which permission is missing.
var action = regexp.MustCompile(`not authorized to perform:? ([a-z0-9]+:[A-Za-z]+)`)

// answerText says what an answer of the store means that is a refusal.
func (s *Sink) answerText(err error, needs permissions) string {
	status, header := response(err)
	code, message := answer(err)
	region := header.Get("X-Amz-Bucket-Region")
	if m := expecting.FindStringSubmatch(message); region == "" && m != nil {
		region = m[1]
	}
	own := s.client.Options().Region
	switch code {
	case "NoSuchBucket":
		return fmt.Sprintf("the bucket %q does not exist: create it, or correct its name or the endpoint", s.cfg.Bucket)
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return s.deniedText(message, needs)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken":
		return fmt.Sprintf("the store refuses the credentials (%s): check the access key, the secret and the endpoint", code)
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return "the credentials have expired: log in again"
	case "RequestTimeTooSkewed":
		return clockText(header)
	case "EntityTooLarge":
		return "the store takes no object of this size"
	case "KeyTooLongError":
		return "the store takes no key of this length: choose a shorter prefix"
	case "InvalidStorageClass":
		return fmt.Sprintf("the store does not know the storage class %q: correct storage_class", s.cfg.StorageClass)
	case "InvalidTag":
		return fmt.Sprintf("the store refuses the tags: %s: correct tags", message)
	case "InvalidObjectState":
		return "the dump has been archived: restore it (aws s3api restore-object), then fetch it"
	case "KMS.NotFoundException", "KMS.DisabledException", "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException":
		return fmt.Sprintf("the KMS key cannot be used: %s: %s: check kms_key_id, or the bucket's default encryption", code, message)
	}
	switch {
	case region != "" && region != own && (status == http.StatusMovedPermanently || status == http.StatusBadRequest):
		return fmt.Sprintf("the bucket %q lies in the region %s, not in %s: set the region", s.cfg.Bucket, region, own)
	case status == http.StatusProxyAuthRequired:
		return "the proxy wants a user and a password (HTTP 407): give them in its URL"
	case status == http.StatusRequestEntityTooLarge:
		return "the store, or a proxy in front of it, takes no request of this size (HTTP 413): raise its limit, or lower multipart_threshold and part_size"
	case code == "" && status == http.StatusBadRequest && strings.HasPrefix(aws.ToString(s.client.Options().BaseEndpoint), "http:"):
		return "the store answered HTTP 400, and not as S3 does: if it wants TLS, the endpoint must begin with https://"
	case status == http.StatusNotFound && (code == "NoSuchKey" || code == "NotFound"):
		return "the store answered HTTP 404 to a request that asks for nothing which could be missing: check the endpoint, and what stands in front of the store"
	case code == "":
		return fmt.Sprintf("the store answered HTTP %d, and not as S3 does: check the endpoint (%v)", status, err)
	}
	text := fmt.Sprintf("the store answered %s: %s (HTTP %d, request %s)", code, message, status, header.Get("X-Amz-Request-Id"))
	if after := retryAfter(err); after > 0 {
		text += fmt.Sprintf(": it wants to be left alone for %v", after)
	}
	return text
}

// deniedText says which permission is missing.
func (s *Sink) deniedText(message string, needs permissions) string {
	if m := action.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("access denied: the credentials need %s on the bucket %q: %s", m[1], s.cfg.Bucket, message)
	}
	text := string(needs)
	switch needs {
	case mayRead:
		// That is also what S3 says of a key that does not exist to whom may
		// not list the bucket.
		text += " (and s3:ListBucket, to be told when a dump does not exist)"
	case mayWrite:
		if s.tagging != "" {
			text += " and s3:PutObjectTagging"
		}
		if s.cfg.SSE == string(types.ServerSideEncryptionAwsKms) {
			text += ", and kms:GenerateDataKey and kms:Decrypt on the key"
		}
	}
	return fmt.Sprintf("access denied: the credentials need %s on the bucket %q", text, s.cfg.Bucket)
}

// clockText says how wrong the clock is.
func clockText(header http.Header) string {
	now := time.Now().UTC()
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return fmt.Sprintf("the clock of this machine is wrong: it says %s, and the store refuses the time of the request", now.Format(time.RFC3339))
	}
	return fmt.Sprintf("the clock of this machine is wrong: it says %s, the store's says %s", now.Format(time.RFC3339), theirs.UTC().Format(time.RFC3339))
}

// networkText says why there was no answer.
func (s *Sink) networkText(err error, whom, hint string) string {
	var (
		proxy     *proxyError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		network   *net.OpError
		sending   *smithyhttp.RequestSendError
	)
	switch {
	case errors.As(err, &proxy) && proxy.status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("cannot reach %s: the proxy %s wants a user and a password (HTTP 407): give them in its URL", whom, proxy.proxy)
	case errors.As(err, &proxy):
		return fmt.Sprintf("cannot reach %s: the proxy %s refuses the connection with HTTP %d: check the endpoint and the proxy", whom, proxy.proxy, proxy.status)
	case errors.As(err, &authority):
		return fmt.Sprintf("cannot trust %s: its certificate is signed by an authority that this machine does not know: give the authority's certificate as ca_file (%v)", whom, authority)
	case errors.As(err, &host):
		return fmt.Sprintf("cannot trust %s: its certificate is for another name (%v): check the endpoint", whom, host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("cannot trust %s: %v: renew its certificate, or set the clock of this machine", whom, invalid)
	case errors.As(err, &verify):
		return fmt.Sprintf("cannot trust %s: %v", whom, verify)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("%s does not speak TLS: the endpoint must begin with http://", whom)
	case errors.As(err, &network) && network.Op == "proxyconnect":
		return fmt.Sprintf("cannot reach the proxy: %v: check proxy, HTTPS_PROXY and HTTP_PROXY", network.Err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Sprintf("cannot reach %s: %v: %s", whom, network, hint)
	case errors.As(err, &network):
		return fmt.Sprintf("the connection to %s broke off: %v: %s", whom, network, hint)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the connection to %s broke off: %s", whom, hint)
	case errors.Is(err, errStalled):
		return fmt.Sprintf("%s has sent nothing for %v: %s", whom, s.stall, hint)
	case errors.As(err, &sending):
		cause := sending.Err
		if u := (*url.Error)(nil); errors.As(cause, &u) {
			cause = u.Err // which address that was is said already
		}
		return fmt.Sprintf("the connection to %s broke off: %v: %s", whom, cause, hint)
	}
	return err.Error()
}

// answer returns code and message of a refusal.
func answer(err error) (code, message string) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", ""
	}
	return api.ErrorCode(), api.ErrorMessage()
}

// errorCode returns the code of the store's answer, "" if there was none.
func errorCode(err error) string {
	code, _ := answer(err)
	return code
}

// isPreconditionFailed reports whether an answer says 412, or is S3's with that
// code, which may come late and then under another status.
func isPreconditionFailed(err error) bool {
	status, _ := response(err)
	return status == http.StatusPreconditionFailed || errorCode(err) == preconditionFailed
}

// saysPreconditionFailed reports whether an answer has S3's code for 412 in its
// body. The SDK makes one up out of the status where there is none.
func saysPreconditionFailed(err error) bool {
	code, message := answer(err)
	if code != preconditionFailed {
		return false
	}
	if message != http.StatusText(http.StatusPreconditionFailed) {
		return true
	}
	r := rawResponse(err)
	return r != nil && r.ContentLength != 0 && strings.Contains(r.Header.Get("Content-Type"), "xml")
}

const preconditionFailed = "PreconditionFailed"

// isBroken reports whether a connection failed before there was an answer, so
// that the request may have been carried out.
func isBroken(err error) bool {
	if status, _ := response(err); status != 0 {
		return false
	}
	var (
		network *net.OpError
		proxy   *proxyError
		verify  *tls.CertificateVerificationError
		sending *smithyhttp.RequestSendError
	)
	switch {
	case errors.As(err, &network):
		return network.Op != "dial" && network.Op != "proxyconnect"
	case errors.As(err, &proxy), errors.As(err, &verify), errors.Is(err, http.ErrSchemeMismatch):
		return false // there was no connection to the store
	}
	return errors.As(err, &sending) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// credentialsError marks an error of the credentials chain.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func isCredentials(err error) bool {
	var provider *credentialsError
	return errors.As(err, &provider)
}

// credentials marks the errors of a provider, which the SDK otherwise hands up
// as text of its own among others.
type credentials struct{ aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	value, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return value, &credentialsError{err}
	}
	return value, nil
}

// IsCredentialsProvider lets the SDK see that the provider is the anonymous
// one.
func (c credentials) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(c.CredentialsProvider, target)
}
