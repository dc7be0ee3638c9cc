package s3

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// acceptEncoding is a header that proxies like to rewrite.
const acceptEncoding = "Accept-Encoding"

// signer leaves one header out of the signature. The SDK sends
// "Accept-Encoding: identity" and signs it, as hardly another client does.
// Google's front end changes it, and so do other proxies, and what arrives then
// has a wrong signature: https://github.com/aws/aws-sdk-go-v2/issues/1816. The
// protocol wants the host and the x-amz- headers signed, and no others.
type signer struct{ s3.HTTPSignerV4 }

func (s signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	value, there := r.Header[acceptEncoding]
	delete(r.Header, acceptEncoding)
	err := s.HTTPSignerV4.SignHTTP(ctx, c, r, hash, service, region, at, options...)
	if there {
		r.Header[acceptEncoding] = value
	}
	return err
}
