package auth

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/media/publishing"
)

const canary = "c4n4ry-k3y-0f-al1ce"

// reasonOf is the word of a refusal, or "" of none.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("an error repeats the key: %v", err)
	}
	r := new(Refusal)
	if !errors.As(err, &r) {
		return err.Error()
	}
	code, text := r.Status()
	if strings.Contains(text, canary) || !strings.HasPrefix(code, "NetStream.Publish.") || text == "" {
		t.Errorf("the peer is told %q, %q", code, text)
	}
	return r.Reason()
}

func TestKeys(t *testing.T) {
	k := NewKeys()
	k.Replace(map[Hash]Rule{
		HashKey(canary):          {Stream: "live/alice", Owner: "anna", Conflict: publishing.ConflictReject},
		HashKey("old-" + canary): {Stream: "live/alice", Until: time.Now().Add(-time.Second)},
		HashKey("bob-" + canary): {Stream: "live/bob"},
	})
	k.Loaded()
	for _, tt := range []struct {
		name, query    string
		stream, reason string
	}{
		{canary, "", "live/alice", ""},
		{canary, "token=x", "live/alice", ""},
		{"alice", "key=" + canary, "live/alice", ""}, // beside the public name
		{"alice", "a=b&key=" + strings.ReplaceAll(canary, "-", "%2d"), "live/alice", ""},
		{"bob", "key=" + canary, "", reasonKey}, // a key is for its own stream
		{"alice", "", "", reasonKey},            // the public name is no key
		{strings.ToUpper(canary), "", "", reasonKey},
		{canary[:len(canary)-1], "", "", reasonKey},
		{HashKey(canary).String(), "", "", reasonKey},
		{"old-" + canary, "", "", reasonExpired},
		{"bob-" + canary, "", "live/bob", ""},
	} {
		g, err := k.Authorize(t.Context(), Request{App: "live", Name: tt.name, Query: tt.query})
		if got := reasonOf(t, err); got != tt.reason {
			t.Errorf("%s?%s: %q, want %q", tt.name, tt.query, got, tt.reason)
		}
		if err == nil && g.Stream.String() != tt.stream {
			t.Errorf("%s: may publish %s, want %s", tt.name, g.Stream, tt.stream)
		}
		if strings.Contains(g.Owner+g.ID, canary) {
			t.Errorf("the grant holds the key: %+v", g)
		}
	}
	g, err := k.Authorize(t.Context(), Request{App: "live", Name: canary})
	if err != nil || g.Owner != "anna" || g.Conflict != publishing.ConflictReject {
		t.Errorf("%+v, %v: the grant has what the rule says", g, err)
	}
}

// TestRevoke takes grants back, each for the reason that it has, and no other.
func TestRevoke(t *testing.T) {
	h := HashKey(canary)
	for _, tt := range []struct {
		name string
		do   func(*Keys)
		gone bool
	}{
		{"removed", func(k *Keys) { k.Remove(h) }, true},
		{"not in the file any more", func(k *Keys) { k.Replace(nil) }, true},
		{"for another stream", func(k *Keys) { k.Set(h, Rule{Stream: "live/bob"}) }, true},
		{"another key removed", func(k *Keys) { k.Remove(HashKey("other")) }, false},
		{"another owner", func(k *Keys) { k.Set(h, Rule{Stream: "live/alice", Owner: "bert"}) }, false},
		{"removed twice", func(k *Keys) { k.Remove(h); k.Remove(h) }, true},
	} {
		k := NewKeys()
		k.Set(h, Rule{Stream: "live/alice"})
		k.Loaded()
		g, err := k.Authorize(t.Context(), Request{Name: canary})
		if err != nil {
			t.Fatal(err)
		}
		released, err := k.Authorize(t.Context(), Request{Name: canary})
		if err != nil {
			t.Fatal(err)
		}
		k.Release(released)
		tt.do(k)
		if gone := closed(g.Revoked); gone != tt.gone {
			t.Errorf("%s: revoked is %v", tt.name, gone)
		}
		if closed(released.Revoked) {
			t.Errorf("%s: a grant that was given back is revoked", tt.name)
		}
		if k.Release(g); len(k.live) != 0 {
			t.Errorf("%s: %d grants are kept", tt.name, len(k.live))
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestKeysNotLoaded lets a publish wait for the keys, and not for ever.
func TestKeysNotLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeys()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := k.Authorize(ctx, Request{Name: canary}); reasonOf(t, err) != reasonAsk {
			t.Errorf("%v: nobody can tell yet", err)
		}
		time.AfterFunc(time.Second, func() {
			k.Set(HashKey(canary), Rule{Stream: "live/alice"})
			k.Loaded()
		})
		if _, err := k.Authorize(t.Context(), Request{Name: canary}); err != nil {
			t.Errorf("%v: the keys came while it waited", err)
		}
	})
}

func TestCheckKey(t *testing.T) {
	for key, good := range map[string]bool{
		NewKey(): true, "correct_horse.battery~staple": true, strings.Repeat("k", MinKey): true,
		"short": false, strings.Repeat("k", maxKey+1): false, "has a blank in it ok": false,
		"has/a/slash/in/it/too": false, "has?a=query&in=it-too": false, "percent%20percent%20": false, "schlüssel-schlüssel": false,
	} {
		if err := CheckKey(key); (err == nil) != good {
			t.Errorf("%q: %v", key, err)
		}
	}
	if a, b := NewKey(), NewKey(); a == b || len(a) < 26 {
		t.Errorf("keys %s and %s are to be random", a, b)
	}
}

func TestKeyFileText(t *testing.T) {
	h := HashKey(canary)
	until := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	rules := []Rule{
		{Stream: "live/alice"},
		{Stream: "live/alice", Owner: "Anna of the house", Conflict: publishing.ConflictTakeover, Until: until},
		{Stream: "live/alice", Limits: publishing.Limits{Bitrate: 8e6, DurationSeconds: 7200, Width: 1920, Height: 1080, Codecs: publishing.Codecs{"avc1", "mp4a"}, Sessions: 2}},
	}
	for _, want := range rules {
		line := FormatKey(h, want)
		if strings.Contains(line, canary) {
			t.Fatalf("the key stands in %q", line)
		}
		got, err := ParseKeyFile([]byte("# people write this\n\n  " + line + "\n"))
		if err != nil || cmp.Diff(got[h], want) != "" {
			t.Errorf("%q is read as %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, bad := range []struct{ text, says string }{
		{canary + " live/alice", "begins with sha256:"}, // somebody wrote the key itself
		{"sha256:12 live/alice", "64 hexadecimal"},
		{"sha256:" + h.String(), "stream is missing"},
		{"sha256:" + h.String() + " alice", "live/alice"},
		{"sha256:" + h.String() + " live/" + canary + "?x", "live/alice"},
		{"sha256:" + h.String() + " live/alice key=" + canary, "option"},
		{"sha256:" + h.String() + " live/alice conflict=" + canary, "conflict"},
		{"sha256:" + h.String() + " live/alice until=tomorrow", "until"},
		{"sha256:" + h.String() + " live/alice bitrate=8M", "bitrate"},
		{"sha256:" + h.String() + " live/alice bitrate=-1", "negative"},
		{"sha256:" + h.String() + " live/alice size=" + canary, "size"},
		{"sha256:" + h.String() + " live/alice duration=soon", "duration"},
		{"sha256:" + h.String() + " live/alice codecs=" + canary, "codec"},
		{FormatKey(h, rules[0]) + "\n" + FormatKey(h, rules[1]), "twice"},
	} {
		_, err := ParseKeyFile([]byte("#\n" + bad.text))
		if err == nil || !strings.Contains(err.Error(), bad.says) || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v, want an error with the line and %q", bad.text, err, bad.says)
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	h := HashKey(canary)
	f.Add(FormatKey(h, Rule{Stream: "live/alice", Owner: "a b", Conflict: "reject", Until: time.Unix(1e9, 0).UTC()}))
	f.Add(FormatKey(h, Rule{Stream: "live/alice", Limits: publishing.Limits{Bitrate: 1, DurationSeconds: 90, Width: 2, Height: 1, Codecs: publishing.Codecs{"avc1"}, Sessions: 1}}))
	f.Add("# text\n\nsha256:zz live")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseKeyFile([]byte(text))
		if err != nil {
			return
		}
		for h, r := range rules {
			if _, err := r.Grant(); err != nil {
				t.Errorf("%+v was read, and grants nothing: %v", r, err)
			}
			again, err := ParseKeyFile([]byte(FormatKey(h, r)))
			if err != nil || len(again) != 1 {
				t.Errorf("%q cannot be read: %v", FormatKey(h, r), err)
			}
		}
	})
}

// TestKeyFile changes a file as the verbs do: what people wrote stays, and so do
// its mode and the keys of others.
func TestKeyFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "deep", "keys")
	f := KeyFile{name}
	ctx := t.Context()
	a, b := HashKey("a"), HashKey("b")
	if err := f.Add(ctx, a, Rule{Stream: "live/alice"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: a new file is its owner's alone", info.Mode(), err)
	}
	if err := os.WriteFile(name, []byte("# ours\n"+FormatKey(a, Rule{Stream: "live/alice"})), 0o640); err != nil { // no newline at its end
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(ctx, b, Rule{Stream: "live/bob"}); err != nil {
		t.Fatal(err)
	}
	if all, err := f.Keys(ctx); err != nil || len(all) != 2 {
		t.Errorf("%v, %v: want both keys", all, err)
	}
	if err := f.Remove(ctx, a); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if want := "# ours\n" + FormatKey(b, Rule{Stream: "live/bob"}) + "\n"; err != nil || string(text) != want {
		t.Errorf("the file has\n%s\nwant\n%s", text, want)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want what it was", info.Mode())
	}
	if err := os.WriteFile(name, []byte("what?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(ctx, a, Rule{Stream: "live/alice"}); err == nil {
		t.Error("a file that cannot be read was changed")
	}
	if text, _ := os.ReadFile(name); string(text) != "what?" {
		t.Errorf("the file has %q now", text)
	}
}

// TestWatchFile sees keys come and go, and keeps what there is while the file
// makes no sense, or is not there.
func TestWatchFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	f := KeyFile{name}
	k := NewKeys()
	k.Loaded()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.WatchFile(ctx, name, slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	may := func() bool { _, err := k.Authorize(ctx, Request{Name: canary}); return err == nil }
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not seen: %s", what)
			}
		}
	}
	h := HashKey(canary)
	if err := f.Add(ctx, h, Rule{Stream: "live/alice"}); err != nil {
		t.Fatal(err)
	}
	until("the key", may)
	g, err := k.Authorize(ctx, Request{Name: canary})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"no key file\n", ""} {
		if text == "" {
			err = os.Remove(name)
		} else {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * lookInterval)
		if !may() || closed(g.Revoked) {
			t.Errorf("keys went with a file that has %q", text)
		}
	}
	if err := f.Add(ctx, HashKey("another"), Rule{Stream: "live/bob"}); err != nil {
		t.Fatal(err)
	}
	until("the grant is taken back", func() bool { return closed(g.Revoked) })
	if may() {
		t.Error("a key that is gone lets in")
	}
}
