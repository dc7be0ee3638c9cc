package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// explain says what an error of a request means. The permission is what the
// request needs.
func (s *Sink) explain(ctx context.Context, err error, permission string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := func(format string, args ...any) error {
		return &explained{fmt.Sprintf(format, args...), err}
	}
	var noCredentials *credentialsError
	if errors.As(err, &noCredentials) {
		return text("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "+
			"choose a profile with AWS_PROFILE, or give the machine a role (%v)", noCredentials.err)
	}
	status, region, request := response(err)
	switch errorCode(err) {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%w", sink.ErrNotFound)
	case "NoSuchBucket":
		return text("the bucket %q does not exist: create it, or correct its name or the endpoint", s.bucket)
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		if permission == "s3:GetObject" {
			// That is also what S3 says of a key that does not exist to
			// whom may not list the bucket.
			permission += " (and s3:ListBucket, to be told when a dump does not exist)"
		}
		return text("access denied: the credentials need %s on the bucket %q", permission, s.bucket)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken":
		return text("the store refuses the credentials (%s): check the access key, the secret and the endpoint", errorCode(err))
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return text("the credentials have expired: log in again")
	case "RequestTimeTooSkewed":
		return text("the clock of this machine is wrong: the store refuses the time of the request")
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently", "BadRequest":
		if region != "" && region != s.client.Options().Region {
			return text("the bucket %q lies in the region %s, not in %s: set the region", s.bucket, region, s.client.Options().Region)
		}
	case "EntityTooLarge":
		return sink.Permanent(text("the store takes no object of this size"))
	}
	var api smithy.APIError
	var network *net.OpError
	switch {
	case status == http.StatusMovedPermanently && region != "":
		return text("the bucket %q lies in the region %s, not in %s: set the region", s.bucket, region, s.client.Options().Region)
	case errors.As(err, &api) && status != 0:
		return text("the store answered %s: %s (HTTP %d, request %s)", api.ErrorCode(), api.ErrorMessage(), status, request)
	case status != 0:
		return text("the store answered HTTP %d: %v", status, err)
	case errors.As(err, &network):
		return text("cannot reach the store: %v: check the endpoint and the network", network)
	}
	return err
}

// errorCode returns the code of the store's answer, "" if there was none.
func errorCode(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// isBroken reports whether the connection failed before there was an answer.
func isBroken(err error) bool {
	var network *net.OpError
	status, _, _ := response(err)
	return status == 0 && (errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

// response returns what the head of the store's answer says. The status is 0 if
// there was no answer.
func response(err error) (status int, region, request string) {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil {
		return 0, "", ""
	}
	header := answer.Response.Header
	return answer.Response.StatusCode, header.Get("X-Amz-Bucket-Region"), header.Get("X-Amz-Request-Id")
}

// credentialsError marks an error of the credentials chain.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

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
