//go:build unix

package store

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// platform gives out credentials as container platforms do
// (AWS_CONTAINER_CREDENTIALS_FULL_URI): of the account of the moment.
type platform struct {
	url string

	mu      sync.Mutex
	account string
	ends    time.Time
}

func newPlatform(t testing.TB) *platform {
	p := new(platform)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// give has the platform give out an account, and say how long it will last.
func (p *platform) give(account string, lasts time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account, p.ends = account, time.Now().Add(lasts)
}

func (p *platform) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{ // or the client goes without
		"AccessKeyId": p.account, "SecretAccessKey": secretOf(p.account), "Expiration": p.ends.UTC().Format(time.RFC3339),
	})
}

func secretOf(account string) string { return account + "-secret" }

// environ makes the SDK's default chain ask the platform.
func (p *platform) environ() []string {
	return append(versitygw.Environ(), "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_CONTAINER_CREDENTIALS_FULL_URI="+p.url)
}

// accountsEnd is what happens to the accounts of a platform in mid-show.
type accountsEnd struct {
	name     string
	accounts int
	given    time.Duration // that the first one is said to last
	events   func(t testing.TB, b testweir.Bucket, p *platform, accounts []string)
	tells    int // how often the log says that credentials are refused, and that they are accepted again
}

// The SDK asks anew in the last five minutes of what it was given: at each
// request, where that was soon.
const far, soon = time.Hour, time.Minute

// Accounts of a real server end in the middle of live shows: one without
// warning, one for 10 s without another in its place, several when they were
// said to; and one may not write at first. No frame is lost, no object is missing, and the log says once what
// happened.
func TestS3Credentials(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t, "--iam-dir", t.TempDir(), "--iam-cache-disable")
	input := testmedia.FLV(t, testweir.ShortShow(16))
	accounts := newAccounts(t, b, 11)
	b.Allow(t, rights("/replaced/*", "/away-for-10-s/*", "/as-announced/*")...)
	parts := make(map[string]func(*testing.T))
	for _, tt := range []accountsEnd{
		{"replaced", 2, far, func(t testing.TB, b testweir.Bucket, p *platform, a []string) {
			p.give(a[1], far)
			endAccount(t, b, a[0])
			time.Sleep(3 * time.Second) // so that the worker meets it, and no viewer
		}, 1},
		{"away for 10 s", 2, far, func(t testing.TB, b testweir.Bucket, p *platform, a []string) {
			endAccount(t, b, a[0])
			time.Sleep(10 * time.Second)
			p.give(a[1], far)
		}, 1},
		{"as announced", 6, soon, func(t testing.TB, b testweir.Bucket, p *platform, a []string) {
			for i := range len(a) - 1 {
				p.give(a[i+1], soon)
				time.Sleep(2 * time.Second) // for what is under way
				endAccount(t, b, a[i])
			}
		}, 0},
		{"read-only", 1, far, func(t testing.TB, b testweir.Bucket, _ *platform, _ []string) {
			time.Sleep(5 * time.Second)
			b.Allow(t, rights("/*")...)
		}, 0},
	} {
		own := accounts[:tt.accounts]
		accounts = accounts[tt.accounts:]
		parts[tt.name] = func(t *testing.T) { tt.test(t, b, input, own) }
	}
	atOnce(t, parts)
}

func (tt accountsEnd) test(t *testing.T, b testweir.Bucket, input string, accounts []string) {
	p := newPlatform(t)
	p.give(accounts[0], tt.given)
	prefix := strings.ReplaceAll(tt.name, " ", "-")
	s := testweir.ServeIn(t, p.environ(), "--segment", "1s", "--window", "10s", "--store", b.StoreURL(prefix))
	shows := liveShows(t, b, s, prefix, input, []string{"alice"}, func() {
		time.Sleep(2 * time.Second)
		tt.events(t, b, p, accounts)
	})
	checkShow(t, b, prefix, "alice", shows["alice"], input, nil)
	testweir.Conforms(t, b.Objects(prefix, ""))
	said := s.Output.String()
	for _, line := range []string{"the store refuses our credentials", "the store accepts our credentials again"} {
		if n := strings.Count(said, line); n != tt.tells {
			t.Errorf("the log says %d times that %s, want %d times", n, line, tt.tells)
		}
	}
	if strings.Contains(said, secretOf(accounts[0])) {
		t.Error("the log tells a secret")
	}
	t.Logf("%.0f of %.0f puts failed", s.Metric(t, `weir_store_failures_total{operation="put"}`), s.Metric(t, `weir_store_requests_total{operation="put"}`))
}

// newAccounts makes accounts.
func newAccounts(t testing.TB, b testweir.Bucket, n int) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprint("account", i)
		if err := b.CreateAccount(name, secretOf(name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// rights let everybody read, and do what a worker must below some prefixes.
// They name no account: versitygw takes no policy that names one which has
// ended.
func rights(writable ...string) []testweir.Statement {
	all := []testweir.Statement{{Principal: "*", Actions: []string{"s3:GetObject"}, Resource: "/*"}, {Principal: "*", Actions: []string{"s3:ListBucket"}}}
	for _, prefix := range writable {
		all = append(all, testweir.Statement{Principal: "*", Actions: []string{"s3:PutObject", "s3:DeleteObject"}, Resource: prefix})
	}
	return all
}

// endAccount ends an account.
func endAccount(t testing.TB, b testweir.Bucket, account string) {
	t.Helper()
	if err := b.DeleteAccount(account); err != nil {
		t.Error(err)
	}
}
