// Package players plays HLS in the players that viewers have, in a real
// Chromium, for tests that ask what a viewer sees: does it play, where does it
// stop, and what does the player say of it.
//
// A test that calls it where chromium or a player is missing fails.
package players

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	_ "embed" // the page

	"weir/internal/chromium"
)

// The players, by the names that their projects have.
const (
	HLSJS   = "hls.js"
	Shaka   = "shaka"
	VideoJS = "video.js"
)

// All are the players there are.
var All = []string{HLSJS, Shaka, VideoJS}

// scripts are where the players' files lie in the checkout: hls.js is the one
// that weir ships, the others are installed by "make deps".
var scripts = map[string]string{
	"/" + HLSJS:   "origin/page/vendor/hls.js/hls.min.js",
	"/" + Shaka:   "internal/tools/players/node_modules/shaka-player/dist/shaka-player.compiled.js",
	"/" + VideoJS: "internal/tools/players/node_modules/video.js/dist/video.min.js",
}

//go:embed page.html
var page []byte

// Report is what a viewer of one player had.
type Report struct {
	Player string `json:"player"`
	// Position is how far the player came, in seconds of media; Ended that it
	// came to the end of the list.
	Position float64 `json:"position"`
	Ended    bool    `json:"ended"`
	// Stalled is how long it stood in all, Longest how long at once, in
	// seconds, the start not counted.
	Stalled float64 `json:"stalled"`
	Longest float64 `json:"longest"`
	// Skipped is how much media it leapt over, in seconds.
	Skipped float64 `json:"skipped"`
	// Fatal are the errors that a player does not go on from by itself, Events
	// the others.
	Fatal  []string `json:"fatal"`
	Events []string `json:"events"`
	// Buffered are the ranges that the player holds at the end.
	Buffered [][2]float64 `json:"buffered"`
	Pictures int          `json:"pictures"` // decoded
	Sound    int          `json:"sound"`    // decoded, in bytes
}

// String says in a line what a test prints.
func (r Report) String() string {
	return fmt.Sprintf("%s: to %.1f s, ended %v, stalled %.1f s (%.1f at once), skipped %.1f s, %d pictures, %d B of sound, buffered %v, fatal %q, events %q",
		r.Player, r.Position, r.Ended, r.Stalled, r.Longest, r.Skipped, r.Pictures, r.Sound, r.Buffered, r.Fatal, r.Events)
}

// Play plays the multivariant playlist at u in each of the players side by
// side, muted, until each has ended, has stood for patience, or limit is over.
// The reports are in the order of names.
func Play(t testing.TB, names []string, u string, patience, limit time.Duration) []Report {
	t.Helper()
	server := httptest.NewServer(handler(t))
	t.Cleanup(server.Close)
	tab := chromium.Open(t)
	query := url.Values{"u": {u}, "players": {strings.Join(names, ",")}, "patience": {seconds(patience)}, "limit": {seconds(limit)}}
	tab.Load(server.URL+"/?"+query.Encode(), 1280, 480)
	for end := time.Now().Add(limit + patience + time.Minute); tab.Eval("window.reports !== undefined") != "true"; time.Sleep(250 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("play %s: the page does not report; it complains: %q", u, tab.Complaints())
		}
	}
	var reports []Report
	if err := json.Unmarshal([]byte(tab.Eval("window.reports")), &reports); err != nil {
		t.Fatal("read the players' reports:", err)
	}
	return reports
}

func seconds(d time.Duration) string { return fmt.Sprint(d.Seconds()) }

// handler serves the page and the players.
func handler(t testing.TB) http.Handler {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	for path, name := range scripts {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatalf("a player is missing, run make deps: %v", err)
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(b)
		})
	}
	return mux
}
