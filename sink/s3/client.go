package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

const (
	// defaultRegion is what requests to an endpoint of one's own are signed
	// for if nothing else is said. Such stores mostly do not care.
	defaultRegion = "us-east-1"

	// idleConnections is how many connections to the store are kept for the
	// next request. The SDK's own 10 are fewer than a command that fetches many
	// dumps has requests under way.
	idleConnections = 64

	// answerTimeout is the longest wait for the head of an answer after the
	// request was sent. It is for a store that is gone without a word; a store
	// may need minutes to put the parts of a large dump together.
	answerTimeout = 5 * time.Minute
)

// newClient makes the SDK's client. It reads the SDK's environment and files,
// and sends nothing.
func newClient(ctx context.Context, s *settings) (*s3.Client, error) {
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(httpClient(s))}
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	if s.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	if s.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(s.Credentials))
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		var missing config.SharedConfigProfileNotExistError
		if errors.As(err, &missing) && s.Profile != "" {
			return nil, &fieldError{field: "profile", value: s.Profile, msg: "is not in the AWS configuration files"}
		}
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if s.RoleARN != "" {
		awsConfig.Credentials = assumeRole(awsConfig, s)
	}
	if awsConfig.Credentials != nil {
		awsConfig.Credentials = credentials{awsConfig.Credentials}
	}
	client := s3.NewFromConfig(awsConfig, func(o *s3.Options) {
		if s.endpoint != "" {
			o.BaseEndpoint = aws.String(s.endpoint)
		}
		if o.BaseEndpoint != nil && o.Region == "" {
			o.Region = defaultRegion
		}
		switch {
		case s.ChecksumMode == ChecksumWhenSupported:
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
		case s.ChecksumMode == ChecksumWhenRequired, o.BaseEndpoint != nil:
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
		if o.BaseEndpoint != nil {
			o.HTTPSignerV4 = signer{o.HTTPSignerV4}
		}
		o.UsePathStyle = s.PathStyle
		o.Retryer = newRetryer(o.Retryer)
		o.Logger = logging.Nop{} // what there is to say comes as an error
	})
	switch o := client.Options(); {
	case o.Region == "":
		return nil, errors.New("no region: set the sink's region, AWS_REGION or a profile's region")
	case o.BaseEndpoint == nil:
		if err := checkClass(s.StorageClass); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// assumeRole returns the credentials of the role, which are asked for when they
// are first needed.
func assumeRole(cfg aws.Config, s *settings) aws.CredentialsProvider {
	if cfg.Region == "" {
		cfg.Region = defaultRegion // of STS; the store has an endpoint
	}
	client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.Logger = logging.Nop{} })
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, s.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = s.RoleSessionName
		if o.RoleSessionName == "" {
			o.RoleSessionName = defaultSession
		}
		if s.ExternalID != "" {
			o.ExternalID = aws.String(s.ExternalID)
		}
	}))
}

// httpClient returns the SDK's own client with what the settings want of it.
func httpClient(s *settings) aws.HTTPClient {
	if s.HTTPClient != nil {
		return s.HTTPClient
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0 // only those per host count
		t.MaxIdleConnsPerHost = idleConnections
		t.ResponseHeaderTimeout = answerTimeout
		if s.proxy != nil {
			t.Proxy = http.ProxyURL(s.proxy)
		}
		t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyError{proxy.Host, answer.StatusCode}
			}
			return nil
		}
		if s.roots != nil {
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			}
			t.TLSClientConfig.RootCAs = s.roots
		}
	})
}

// proxyError is the answer of a proxy that makes no connection to the store.
type proxyError struct {
	proxy  string
	status int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy %s answers HTTP %d", e.proxy, e.status)
}
