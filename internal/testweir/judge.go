//go:build unix

package testweir

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/check"
)

// Conforms holds a directory of playlists to every rule of weir check, the
// warnings included; but for those rules that the show itself breaks.
func Conforms(t testing.TB, dir string, but ...string) {
	t.Helper()
	r, err := check.Directory(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range but {
		delete(r.Counts, rule)
	}
	if r.Errors() > 0 || r.Warnings() > 0 {
		complain(t, dir, r)
	}
}

// Deserves wants a report to have no errors but these.
func Deserves(t testing.TB, r check.Report, rules ...string) {
	t.Helper()
	for _, rule := range rules {
		delete(r.Counts, rule)
	}
	if r.Errors() > 0 {
		complain(t, "of the show", r)
	}
}

// complain fails a test with what weir check says of something.
func complain(t testing.TB, what string, r check.Report) {
	t.Helper()
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Errorf("weir check %s:\n%s", what, text.String())
}

// Watching is a weir check --watch in a process of its own.
type Watching struct {
	t       testing.TB
	process *Process
	report  func() check.Report
}

// CheckWatch has weir check follow a URL for a while, from when it is there;
// to the show's end at most.
func CheckWatch(t testing.TB, url string, long time.Duration) *Watching {
	t.Helper()
	Eventually(t, 40*time.Second, url+" is there", func() bool { code, _ := Get(url); return code == http.StatusOK })
	w := &Watching{t: t, process: Start(t, "check", "--json", "--watch", long.String(), url)}
	w.report = sync.OnceValue(w.read)
	return w
}

// Wait waits for the check to end by itself, End asks it to. Both return what
// was found.
func (w *Watching) Wait() check.Report { w.t.Helper(); return w.report() }

// End asks the check to end, and returns what was found.
func (w *Watching) End() check.Report {
	w.t.Helper()
	w.process.Send(w.t, syscall.SIGTERM)
	return w.report()
}

func (w *Watching) read() (r check.Report) {
	w.process.Wait()
	said := w.process.Output.String()
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&r); err != nil {
		w.t.Errorf("read the report of weir check: %v:\n%s", err, said)
	}
	return r
}

// WatchByCheck has weir check --watch follow a show once it is there. clean
// waits for the show's end, and wants no error to have been found.
func WatchByCheck(t testing.TB, url string) (clean func()) {
	t.Helper()
	w := CheckWatch(t, url, time.Minute)
	return func() { t.Helper(); Deserves(t, w.Wait()) }
}
