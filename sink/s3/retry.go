package s3

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// patience is the longest Retry-After that is waited for inside a call.
	// After a longer one the call fails, and its caller knows better what else
	// to do meanwhile.
	patience = 5 * time.Second

	// maxRetryAfter bounds what is made of the header.
	maxRetryAfter = 24 * time.Hour
)

// retryer is the SDK's, three attempts unless its environment says otherwise,
// which does not come back before the store wants it to.
type retryer struct{ aws.RetryerV2 }

func newRetryer(inner aws.Retryer) retryer {
	// Two writers of one key at the same instant: S3 asks the loser to try
	// again.
	inner = retry.AddWithErrorCodes(inner, "ConditionalRequestConflict")
	if v2, ok := inner.(aws.RetryerV2); ok {
		return retryer{v2}
	}
	return retryer{retry.NewStandard()} // not of the SDK that this is built with
}

func (r retryer) IsErrorRetryable(err error) bool {
	if retryAfter(err) > patience {
		return false
	}
	status, _ := response(err)
	return status == http.StatusTooManyRequests || isCutOff(err) || r.RetryerV2.IsErrorRetryable(err)
}

func (r retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, derr := r.RetryerV2.RetryDelay(attempt, err)
	return max(delay, retryAfter(err)), derr
}

// response returns the head of the store's answer. The status is 0 if there was
// no answer, or only a part of one; the header can be asked in any case.
func response(err error) (status int, header http.Header) {
	r := rawResponse(err)
	if r == nil || isCutOff(err) {
		return 0, nil
	}
	return r.StatusCode, r.Header
}

func rawResponse(err error) *http.Response {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return nil
	}
	return answer.Response.Response
}

// isCutOff reports whether an answer began well and broke off. The SDK takes
// that for an answer which it cannot read.
func isCutOff(err error) bool {
	r := rawResponse(err)
	if r == nil || r.StatusCode >= http.StatusMultipleChoices {
		return false
	}
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// retryAfter returns how long the store wants to be left alone, 0 if it says
// nothing of that. RFC 9110, section 10.2.3: seconds, or a date.
func retryAfter(err error) time.Duration {
	status, header := response(err)
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	// The store's clock counts, not ours.
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}
