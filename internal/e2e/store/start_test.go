//go:build unix

package store

import (
	"strings"
	"testing"
	"time"

	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// A bucket that will never take anything ends the worker, with what to do; one
// that does not answer is waited for, and the log says so.
func TestStoreAtTheStart(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t)
	for _, tt := range []struct{ name, url, variable, want string }{
		{"a wrong secret", b.StoreURL("x"), "AWS_SECRET_ACCESS_KEY=wrong", "check the credentials"},
		{"an unknown key", b.StoreURL("x"), "AWS_ACCESS_KEY_ID=nobody", "check the credentials"},
		{"no such bucket", strings.Replace(b.StoreURL("x"), versitygw.Bucket, "nothere", 1), "", "create the bucket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testweir.NewServer(t)
			p := testweir.StartIn(t, append(versitygw.Environ(), tt.variable), s.Args("serve", "--store", tt.url)...)
			if code := p.Wait(); code != testweir.ExitFailed || !strings.Contains(p.Output.String(), "weir: use the store") || !strings.Contains(p.Output.String(), tt.want) {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, tt.want, p.Output.String())
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		s := testweir.NewServer(t)
		nowhere := strings.Replace(b.StoreURL("x"), b.URL, "http://"+testweir.FreeAddress(t), 1)
		p := testweir.StartIn(t, versitygw.Environ(), s.Args("serve", "--store", nowhere)...)
		testweir.Eventually(t, 10*time.Second, "the log says what is waited for", func() bool {
			return strings.Contains(p.Output.String(), "waiting for the store")
		})
		if code := p.Stop(t); code != 0 {
			t.Errorf("told to go while it waits: exit code %d", code)
		}
	})
}
