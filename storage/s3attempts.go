package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"weir/media/object"
)

// Waits between attempts: the whole range below the bound is drawn from, so
// that workers that failed together do not come again together, and the bound
// doubles with each attempt.
const (
	firstWait     = 50 * time.Millisecond
	longestWait   = 1 * time.Second
	firstSlowDown = 250 * time.Millisecond // where the store asks for less
	longestSlow   = 4 * time.Second
	longestTry    = 30 * time.Second
)

// attempts does an operation until it succeeds, fails for good or runs out of
// time, and counts each attempt; size is that of the body it sends. The error
// has a name where callers know one. lost says that an attempt before the last
// may have been carried out although it failed here.
func (s *S3) attempts(ctx context.Context, count *Count, size int64, do func(context.Context) error) (lost bool, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.Patience)
		defer cancel()
	}
	renewed := false
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return lost, giveUp(ctx, n, err)
		}
		attempt, cancel := context.WithTimeout(ctx, s.attemptTimeout(n, size))
		begin, login := time.Now(), s.login.age.Load()
		raw := do(attempt)
		cancel()
		f := classify(raw)
		count.note(size, f.err)
		switch {
		case f.err == nil:
			s.pace.learn(time.Since(begin))
			return lost, nil
		case f.stale && !renewed:
			renewed = true
			s.login.renew(login)
		case !f.retry:
			return lost, f.err
		}
		if errors.Is(raw, context.DeadlineExceeded) {
			// A host that fell silent may hold the other connections, too.
			s.http.CloseIdleConnections()
		}
		lost = lost || f.lost
		err = f.err
		wait(ctx, n, f.slow)
	}
}

// attemptTimeout is how long attempt n of a body's size may take. It grows, so
// that a store that is slow and not dead is served in the end, and begins with
// what the store has needed lately.
func (s *S3) attemptTimeout(n int, size int64) time.Duration {
	first := s.config.AttemptTimeout + time.Duration(size>>10)*time.Second>>10
	first = max(first, min(2*s.pace.slow(), longestTry/3))
	return min(first<<min(n, 10), max(first, longestTry))
}

// login knows the credentials that the SDK keeps, nil where they are not of a
// kind that can be renewed.
type login struct {
	cache *aws.CredentialsCache
	age   atomic.Int64 // how often they were dropped
}

// renew makes the next request fetch credentials, unless that was done since
// they had the given age: of requests that are refused together one renews.
func (l *login) renew(age int64) {
	if l.cache != nil && l.age.CompareAndSwap(age, age+1) {
		l.cache.Invalidate()
	}
}

// pace is how long a store took for what succeeded lately: the longest time,
// which fades by an eighth with each shorter one.
type pace struct{ nanoseconds atomic.Int64 }

func (p *pace) slow() time.Duration { return time.Duration(p.nanoseconds.Load()) }

// learn may forget one of two times that come at once: either will do.
func (p *pace) learn(took time.Duration) {
	slow := p.slow()
	p.nanoseconds.Store(int64(max(took, slow-slow/8)))
}

// giveUp is the error of a call that ran out of time after n attempts.
func giveUp(ctx context.Context, n int, last error) error {
	if last == nil {
		return ctx.Err()
	}
	return fmt.Errorf("gave up after %d attempts: %w: %w", n, ctx.Err(), last)
}

func wait(ctx context.Context, n int, slow bool) {
	first, longest := firstWait, longestWait
	if slow {
		first, longest = firstSlowDown, longestSlow
	}
	bound := min(first<<min(n, 10), longest)
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// failure is what an error of an attempt means.
type failure struct {
	err   error // with its name, nil for none
	retry bool  // it may pass
	lost  bool  // the operation may have been carried out
	slow  bool  // the store asks for fewer requests
	stale bool  // new credentials may help, or the time of the server, which the SDK has learnt by now; once
}

// classify names an attempt's error and says what to do about it.
func classify(err error) failure {
	if err == nil {
		return failure{}
	}
	named := func(name error) error { return fmt.Errorf("%w: %w", name, err) }
	status, code := answer(err)
	switch code {
	case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "SlowDownWrite", "SlowDownRead":
		return failure{err: named(ErrUnavailable), retry: true, slow: true, lost: true}
	case "ConditionalRequestConflict", "OperationAborted":
		return failure{err: named(ErrUnavailable), retry: true}
	case "RequestTimeout", "RequestTimeoutException": // the body did not arrive; a 400
		return failure{err: named(ErrUnavailable), retry: true, lost: true}
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId", "RequestTimeTooSkewed", "RequestExpired":
		return failure{err: named(ErrDenied), stale: true}
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge":
		return failure{err: named(ErrFull)}
	case "NotImplemented":
		return failure{err: named(errors.ErrUnsupported)}
	case "NoSuchBucket":
		return failure{err: fmt.Errorf("no such bucket: %w", err)}
	}
	switch {
	case status == 0:
		return classifyUnanswered(err)
	case status == http.StatusNotFound:
		return failure{err: named(object.ErrNotExist)}
	case status == http.StatusPreconditionFailed:
		return failure{err: named(object.ErrPrecondition)}
	case status == http.StatusConflict || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return failure{err: named(ErrUnavailable), retry: true, slow: status == http.StatusTooManyRequests}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return failure{err: named(ErrDenied), stale: code == "" || code == "Forbidden"} // an answer to HEAD has no code
	case status == http.StatusBadRequest && (code == "" || code == "BadRequest"):
		return failure{err: err, stale: true} // so has this one: an expired token
	case status == http.StatusInsufficientStorage:
		return failure{err: named(ErrFull)}
	case status == http.StatusNotImplemented:
		return failure{err: named(errors.ErrUnsupported)}
	case status >= 500:
		return failure{err: named(ErrUnavailable), retry: true, lost: true}
	case status >= 400:
		return failure{err: err}
	}
	return failure{err: named(ErrUnavailable), retry: true, lost: true} // success, but not to be understood
}

// answer returns the status and the error code of the store's answer, 0 and ""
// where there was none.
func answer(err error) (status int, code string) {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.Response.Response != nil {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	return status, code
}

// classifyUnanswered tells a request that got no answer from one that was
// never sent, for want of credentials for instance.
func classifyUnanswered(err error) failure {
	var operation *smithy.OperationError
	var send *smithyhttp.RequestSendError
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if errors.As(err, &operation) && !errors.As(err, &send) && !ended {
		return failure{err: fmt.Errorf("%w: %w", ErrDenied, err), stale: true}
	}
	return failure{err: fmt.Errorf("%w: %w", ErrUnavailable, err), retry: true, lost: true}
}
