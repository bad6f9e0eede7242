package storage_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"weir/internal/faultproxy"
	"weir/internal/versitygw"
	"weir/media/object"
	"weir/storage"
)

// resign signs a request anew, with the server's own key and time, so that a
// proxy can have other ideas of both.
func resign(t *testing.T, r *http.Request) {
	t.Helper()
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Date") || name == "Authorization" || name == "X-Amz-Security-Token" {
			r.Header.Del(name)
		}
	}
	signed := r.Clone(r.Context())
	signed.URL.Host, signed.URL.Scheme = r.Host, "http"
	credentials := aws.Credentials{AccessKeyID: versitygw.AccessKey, SecretAccessKey: versitygw.SecretKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	err := signer.SignHTTP(r.Context(), credentials, signed, r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", time.Now())
	if err != nil {
		t.Error(err)
	}
	r.Header = signed.Header
}

// A store whose clock is two hours ahead of ours refuses what we sign by our
// own (S3 allows 15 minutes), until we sign by its.
func TestS3ClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			proxy, s, direct := behindProxy(t, "")
			proxy.Set(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
				now := time.Now().Add(skew)
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil || signed.Sub(now).Abs() > 15*time.Minute {
					faultproxy.Refuse(403, "RequestTimeTooSkewed")(w, r, forward)
					return
				}
				resign(t, r)
				answer := httptest.NewRecorder()
				forward.ServeHTTP(answer, r)
				for name, values := range answer.Header() {
					if name != "Date" {
						w.Header()[name] = values
					}
				}
				w.WriteHeader(answer.Code)
				_, _ = w.Write(answer.Body.Bytes())
			})
			show(t, s, direct, "skew")
			refused := 0
			for _, r := range proxy.Requests() {
				if r.Status == 403 {
					refused++
				}
			}
			if refused > 6 { // the uploads that began before anybody knew
				t.Errorf("%d requests were signed by the wrong clock", refused)
			}
		})
	}
}

// keyServer plays a container platform that gives out credentials by the
// protocol of AWS_CONTAINER_CREDENTIALS_FULL_URI, each for a time.
func keyServer(t *testing.T, lifetime func() time.Duration) (given *atomic.Int32) {
	t.Helper()
	given = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"AccessKeyId":     fmt.Sprintf("KEY%d", given.Add(1)),
			"SecretAccessKey": "secret",
			"Token":           "token",
			"Expiration":      time.Now().Add(lifetime()).UTC().Format(time.RFC3339),
		})
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
	return given
}

// onlyKey forwards what is signed with the key of the moment and calls the
// others expired.
func onlyKey(t *testing.T, valid *atomic.Int32) faultproxy.Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		key := fmt.Sprintf("Credential=KEY%d/", valid.Load())
		if !strings.Contains(r.Header.Get("Authorization"), key) {
			faultproxy.Refuse(400, "ExpiredToken")(w, r, forward)
			return
		}
		resign(t, r)
		forward.ServeHTTP(w, r)
	}
}

// Credentials that end before their time are fetched again when the store says
// so, also in answer to HEAD, which can say no more than 400.
func TestS3RenewsRefusedCredentials(t *testing.T) {
	proxy, _, direct := behindProxy(t, "")
	given := keyServer(t, func() time.Duration { return time.Hour })
	s := openS3(t, "s3://"+versitygw.Bucket+"/p?endpoint="+proxy.URL)
	var told []error // calls come one after another
	s.Refused = func(refusal error) { told = append(told, refusal) }
	valid := new(atomic.Int32)
	proxy.Set(onlyKey(t, valid))
	for round := range 3 {
		valid.Store(given.Load() + 1)
		show(t, s, direct, fmt.Sprint("round ", round))
		valid.Store(given.Load() + 1)
		if _, err := s.Stat(t.Context(), fmt.Sprintf("round %d/live.m3u8", round)); err != nil {
			t.Error(err)
		}
	}
	// In the rounds behind the first six uploads are refused at once, each time.
	if len(told) != 4 || told[0] == nil || told[1] != nil || told[2] == nil || told[3] != nil {
		t.Errorf("told of %v, want twice of a refusal and of its end", told)
	}
}

// Credentials that are about to end are renewed before, so that no request is
// refused.
func TestS3RenewsExpiringCredentials(t *testing.T) {
	proxy, _, direct := behindProxy(t, "")
	given := keyServer(t, func() time.Duration { return 2 * time.Second })
	s := openS3(t, "s3://"+versitygw.Bucket+"/p?endpoint="+proxy.URL)
	proxy.Set(onlyKey(t, given))
	for round := range 3 {
		put(t, s, fmt.Sprint(round), "x", absent)
		wantBody(t, direct, fmt.Sprint(round), "x")
		time.Sleep(time.Second)
	}
	if given.Load() < 2 {
		t.Error("credentials were not renewed")
	}
	for _, r := range proxy.Requests() {
		if r.Status != 200 {
			t.Errorf("%s %s: %d, with expired credentials", r.Method, r.Path, r.Status)
		}
	}
}

// What is denied for good, and without a reason as in answers to HEAD, costs
// one renewal, and not one each time.
func TestS3RenewsInVainOnce(t *testing.T) {
	proxy, _, _ := behindProxy(t, "")
	given := keyServer(t, func() time.Duration { return time.Hour })
	s := openS3(t, "s3://"+versitygw.Bucket+"/p?endpoint="+proxy.URL)
	proxy.Set(faultproxy.Refuse(403, ""))
	for range 5 {
		_, err := s.Stat(t.Context(), "k")
		wantError(t, "stat", err, storage.ErrDenied)
	}
	if n := given.Load(); n != 2 {
		t.Errorf("credentials were fetched %d times, want 2", n)
	}
}

// Without credentials a call fails soon, whatever time it has.
func TestS3WithoutCredentials(t *testing.T) {
	gateway := versitygw.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	s := openS3(t, gateway.StoreURL(""))
	_, err := s.Put(t.Context(), object.Object{Key: "k"}, always)
	wantError(t, "put", err, storage.ErrDenied)
	if n := s.Usage().Put.Requests.Load(); n != 2 {
		t.Errorf("%d attempts, want one and one with credentials fetched again", n)
	}
}
