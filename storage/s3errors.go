package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
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
// time, and counts each attempt; size is that of the body it sends. Below Persist
// nothing is for good but an answer. The error has a name where callers know one. lost says that an attempt before the last
// may have been carried out although it failed here.
func (s *S3) attempts(ctx context.Context, count *Count, size int64, do func(context.Context) error) (lost bool, err error) {
	stay := persistenceOf(ctx)
	if _, ok := ctx.Deadline(); !ok && stay == nil {
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
			s.accepted(login)
			stay.ended(nil)
			return lost, nil
		case f.stale && !renewed && s.login.renew(login, f.vague):
			renewed = true
			if !f.vague {
				s.refused(login, f.err)
			}
		case !f.retry:
			s.login.renewed(renewed && f.stale)
			if stay == nil || final(f.err) {
				return lost, f.err
			}
			renewed, f.slow = false, true
		}
		stay.failed(f.err)
		if errors.Is(raw, context.DeadlineExceeded) {
			// A host that fell silent may hold the other connections, too.
			s.http.CloseIdleConnections()
		}
		lost = lost || f.lost
		err = f.err
		wait(ctx, n, f.slow)
	}
}

// refused tells of a refusal of credentials of the given age, if it is the
// first since they were last accepted.
func (s *S3) refused(age int64, refusal error) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	if s.login.since > 0 {
		return
	}
	s.login.since = age + 1
	if s.Refused != nil {
		s.Refused(refusal)
	}
}

// accepted tells that a refusal is over, at the first success with credentials
// that are younger than it.
func (s *S3) accepted(age int64) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	if s.login.since == 0 || age < s.login.since {
		return
	}
	s.login.since = 0
	if s.Refused != nil {
		s.Refused(nil)
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
	vain  atomic.Int64 // when that last did not help, in Unix nanoseconds

	mu    sync.Mutex
	since int64 // the age from which on a success ends a refusal; 0: there is none
}

// vainFor is for how long a renewal that was in vain is not tried again on a
// guess: a store that denies something for good costs no renewal each time.
const vainFor = time.Minute

// renew makes the next request fetch credentials, unless that was done since
// they had the given age: of requests that are refused together one renews. It
// tells whether the next request is worth a try.
func (l *login) renew(age int64, guess bool) bool {
	if guess && time.Since(time.Unix(0, l.vain.Load())) < vainFor {
		return false
	}
	if l.age.CompareAndSwap(age, age+1) && l.cache != nil {
		l.cache.Invalidate()
	}
	return true
}

// renewed notes a renewal that was in vain.
func (l *login) renewed(inVain bool) {
	if inVain {
		l.vain.Store(time.Now().UnixNano())
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
	err   error  // with its name, nil for none
	retry bool   // it may pass
	lost  bool   // the operation may have been carried out
	slow  bool   // the store asks for fewer requests
	stale bool   // new credentials may help, or the time of the server, which the SDK has learnt by now; once
	vague bool   // stale is a guess
	try   string // what to do about it, where the answer tells
}

// advising is f with something to try.
func (f failure) advising(try string) failure {
	f.try = try
	return f
}

// advisedError is an error with what to try.
type advisedError struct {
	error
	try string
}

func (e *advisedError) Error() string { return e.error.Error() + ": " + e.try }
func (e *advisedError) Unwrap() error { return e.error }

// What answers mean. Those that name no cause are errors of ours, or of the
// configuration.
var (
	overloaded  = failure{err: ErrUnavailable, retry: true, lost: true, slow: true}
	unavailable = failure{err: ErrUnavailable, retry: true, lost: true}
	conflict    = failure{err: ErrUnavailable, retry: true}
	outdated    = failure{err: ErrDenied, stale: true}
	denied      = failure{err: ErrDenied}
	full        = failure{err: ErrFull}
	unsupported = failure{err: errors.ErrUnsupported, try: "the store lacks something that was asked of it: weir store check tells what; conditional=false and checksum=false in the URL go without the two"}
	elsewhere   = failure{err: errors.New("bucket is in another region"), try: "set region in the store's URL, or AWS_REGION"}
	unsigned    = outdated.advising("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or look at what else gives the credentials")
	unreachable = unavailable.advising("is the endpoint right, and does this host reach it?")
	untrusted   = unavailable.advising("AWS_CA_BUNDLE names the file of a private authority")
)

// codes are the error codes that say more than the status they come with (S3
// API Reference, "Error responses"; the X ones are MinIO's).
var codes = map[string]failure{
	"SlowDown":                   overloaded,
	"SlowDownRead":               overloaded,
	"SlowDownWrite":              overloaded,
	"ServiceUnavailable":         overloaded,
	"Throttling":                 overloaded,
	"ThrottlingException":        overloaded,
	"RequestLimitExceeded":       overloaded,
	"TooManyRequests":            overloaded,
	"RequestTimeout":             unavailable, // the body did not arrive; a 400
	"ConditionalRequestConflict": conflict,
	"OperationAborted":           conflict,
	"ExpiredToken":               outdated,
	"ExpiredTokenException":      outdated,
	"TokenRefreshRequired":       outdated,
	"InvalidToken":               outdated,
	"InvalidAccessKeyId":         outdated.advising("the store does not know this access key: check the credentials, and that the endpoint is theirs"),
	"XAdminUserNotFound":         outdated.advising("the store does not know this access key: check the credentials, and that the endpoint is theirs"), // versitygw's, with a 404
	"SignatureDoesNotMatch":      denied.advising("the secret key is not that of this access key: check the credentials"),
	"RequestTimeTooSkewed":       outdated,
	"RequestExpired":             outdated,
	"QuotaExceeded":              full,
	"XMinioStorageFull":          full,
	"EntityTooLarge":             full,
	"NotImplemented":             unsupported,
	"NoSuchBucket":               {err: errors.New("no such bucket"), try: adviceBucket}, // a 404, but no missing object
	"InvalidBucketName":          {err: errors.New("not a bucket's name"), try: adviceBucket},
	// The answers to a request that was signed for, or sent to, another region.
	"PermanentRedirect":            elsewhere,
	"AuthorizationHeaderMalformed": elsewhere,
}

const adviceBucket = "create the bucket, or correct its name in the store's URL"

// statuses are what other answers mean.
var statuses = map[int]failure{
	http.StatusUnauthorized:        denied,
	http.StatusForbidden:           denied,
	http.StatusNotFound:            {err: object.ErrNotExist},
	http.StatusRequestTimeout:      unavailable,
	http.StatusConflict:            conflict,
	http.StatusPreconditionFailed:  {err: object.ErrPrecondition},
	http.StatusTooManyRequests:     overloaded,
	http.StatusNotImplemented:      unsupported,
	http.StatusInsufficientStorage: full,
}

// classify names an attempt's error and says what to do about it.
func classify(err error) failure {
	if err == nil {
		return failure{}
	}
	status, code := answer(err)
	f, known := codes[code]
	if !known {
		f, known = statuses[status]
	}
	switch {
	case known:
	case status == 0 && unsent(err):
		f = unsigned
	case status == 0:
		f = unreachable
		if bad := (*tls.CertificateVerificationError)(nil); errors.As(err, &bad) {
			f = untrusted
		}
	case status >= 500, status < 400: // no answer, or none to be understood
		f = unavailable
	}
	// An answer to HEAD has no code: it may be about credentials or the clock.
	codeless := code == "" || code == http.StatusText(status) || code == "BadRequest"
	if codeless && (status == http.StatusForbidden || status == http.StatusBadRequest) {
		f.stale, f.vague = true, true
	}
	if f.err != nil {
		err = fmt.Errorf("%w: %w", f.err, err)
	}
	if f.try != "" {
		err = &advisedError{err, f.try}
	}
	f.err = err
	return f
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

// unsent tells a request that was never sent, for want of credentials for
// instance, from one that got no answer.
func unsent(err error) bool {
	var operation *smithy.OperationError
	var send *smithyhttp.RequestSendError
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	return errors.As(err, &operation) && !errors.As(err, &send) && !ended
}
