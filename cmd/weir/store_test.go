//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// said runs weir to its end and returns its exit code and what it said.
func said(t testing.TB, args ...string) (int, string) {
	t.Helper()
	c := start(t, args...)
	<-c.ended
	return c.code, c.output.String()
}

// A sweep tells; with --delete it deletes what it told, and nothing of a show
// that may go on.
func TestStoreSweep(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-100 * time.Hour)
	write := func(key, body string) {
		t.Helper()
		name := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	const list = "#EXTM3U\n#EXTINF:4,\n00000000.ts\n"
	write("live/a/over/source/vod.m3u8", list+"#EXT-X-ENDLIST\n")
	write("live/a/over/source/00000000.ts", "listed")
	write("live/a/over/source/00000001.ts", "orphan")
	write("live/a/on/source/live.m3u8", list)
	write("live/a/on/source/00000000.ts", "listed")
	write("live/a/on/source/00000001.ts", "about to be listed")
	there := func() string {
		var names []string
		for _, pattern := range []string{"live/a/*/source/*"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range found {
				names = append(names, strings.TrimPrefix(name, filepath.Join(dir, "live/a")+"/"))
			}
		}
		return strings.Join(names, " ")
	}
	all := there()
	live := "on/source/00000000.ts on/source/00000001.ts on/source/live.m3u8"
	for _, step := range []struct {
		args []string
		told string
		left string
	}{
		{nil, "orphan   live/a/over/  1 objects, 0.0 MB\n1 objects", all},
		{[]string{"--all"}, "orphan   live/a/over/source/00000001.ts", all},
		{[]string{"--delete", "--grace", "200h"}, "0 objects", all},
		{[]string{"--delete"}, "1 objects", live + " over/source/00000000.ts over/source/vod.m3u8"},
		{[]string{"--expire", "50h"}, "expired  live/a/over/  2 objects, 0.0 MB\n2 objects", live + " over/source/00000000.ts over/source/vod.m3u8"},
		{[]string{"--expire", "50h", "--delete"}, "2 objects", live},
	} {
		code, text := said(t, append([]string{"store", "sweep", "file://" + dir}, step.args...)...)
		if code != 0 || !strings.Contains(text, step.told) {
			t.Errorf("%v: exit code %d, want 0 and %q:\n%s", step.args, code, step.told, text)
		}
		if got := there(); got != step.left {
			t.Errorf("%v: there is %q, want %q", step.args, got, step.left)
		}
	}
}

func TestPlan(t *testing.T) {
	prices := filepath.Join(t.TempDir(), "prices.json")
	if err := os.WriteFile(prices, []byte(`{"name": "ours", "currency": "EUR", "put_per_1000": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"--streams 100 --hours 720 --segment 4s --bitrate 4M", 0, "130762600 puts"},
		{"--hours 1 --bitrate 800k --json", 0, `"Puts": 1848`},
		{"--hours 1 --prices " + prices, 0, "1.85 EUR"},
		{"--hours=-1", exitUsage, "plan"},
		{"--bitrate much", exitUsage, "800k"},
		{"--keep always", exitUsage, "window"},
	} {
		code, text := said(t, append([]string{"plan"}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", tt.args, code, tt.code, tt.want, text)
		}
	}
}
