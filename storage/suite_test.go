package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/media/object"
	"weir/storage"
)

// testStore is the conformance suite: what callers rely on, whatever the
// store. Each part gets a store of its own, empty.
func testStore(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, s storage.Store)
	}{
		{"round trip", testRoundTrip},
		{"missing object", testMissing},
		{"invalid keys", testInvalidKeys},
		{"awkward keys", testAwkwardKeys},
		{"write where absent", testAbsent},
		{"write where matched", testMatch},
		{"entity tags", testETags},
		{"bodies are not shared", testBodiesNotShared},
		{"ranges", testRanges},
		{"reader outlives replacement", testReplacedWhileOpen},
		{"list", testList},
		{"ended context", testEndedContext},
		{"usage", testUsage},
		{"race to create", testRaceToCreate},
		{"race to replace", testRaceToReplace},
		{"compare and set counter", testCounter},
		{"reads are whole", testReadsAreWhole},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

func put(t *testing.T, s storage.Store, key, body string, c object.Condition) string {
	t.Helper()
	etag, err := s.Put(t.Context(), object.Object{Key: key, Body: []byte(body)}, c)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return etag
}

func wantBody(t *testing.T, s storage.Store, key, want string) {
	t.Helper()
	body, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if string(body) != want {
		t.Fatalf("get %s: %d bytes %.60q, want %d bytes %.60q", key, len(body), body, len(want), want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

var (
	absent  = object.Condition{Absent: true}
	always  = object.Condition{}
	matches = func(etag string) object.Condition { return object.Condition{Match: etag} }
)

func testRoundTrip(t *testing.T, s storage.Store) {
	for _, body := range [][]byte{{}, {0}, []byte("#EXTM3U\n"), noise(1), noise(3 << 20)} {
		const key = "live/alice/20261121T014500Z-k3v9/source/00000042.ts"
		before := time.Now().Add(-2 * time.Second) // stores keep whole seconds
		etag, err := s.Put(t.Context(), object.Object{Key: key, Body: body, ContentType: "video/mp2t"}, always)
		if err != nil {
			t.Fatal(err)
		}
		got, info, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, body) {
			t.Errorf("got %d other bytes than the %d put", len(got), len(body))
		}
		if info.Key != key || info.Size != int64(len(body)) || info.ETag != etag {
			t.Errorf("get describes %+v, want key %s, size %d, ETag %s", info, key, len(body), etag)
		}
		if info.Modified.Before(before) || info.Modified.After(time.Now().Add(2*time.Second)) {
			t.Errorf("modified %v, want about now", info.Modified)
		}
		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if stat.Key != info.Key || stat.Size != info.Size || stat.ETag != info.ETag || !stat.Modified.Equal(info.Modified) {
			t.Errorf("stat describes %+v, get %+v", stat, info)
		}
		r, opened, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
			t.Errorf("read %d bytes of %d, %v", len(got), len(body), err)
		}
		if opened.ETag != etag || opened.Size != info.Size {
			t.Errorf("open describes %+v, get %+v", opened, info)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testMissing(t *testing.T, s storage.Store) {
	put(t, s, "a/b", "x", always)
	for _, key := range []string{"b", "a", "a/c", "a/b/c", "a/bb"} {
		_, _, err := s.Get(t.Context(), key)
		wantError(t, "get "+key, err, object.ErrNotExist)
		_, err = s.Stat(t.Context(), key)
		wantError(t, "stat "+key, err, object.ErrNotExist)
		_, _, err = s.Open(t.Context(), key)
		wantError(t, "open "+key, err, object.ErrNotExist)
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete of missing %s: %v, want success: a repeated delete is no failure", key, err)
		}
	}
	wantBody(t, s, "a/b", "x")
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Get(t.Context(), "a/b")
	wantError(t, "get of a deleted object", err, object.ErrNotExist)
}

var invalidKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a/./b",
	".hidden", "a/.hidden", ".weir/temp/x", ".weir/lock/00", "a\x00b", "a\nb", "a\x7fb", `a\b`, "a\xffb",
	strings.Repeat("a", storage.MaxElement+1), strings.Repeat("a/", storage.MaxKey/2) + "b",
}

func testInvalidKeys(t *testing.T, s storage.Store) {
	for _, key := range invalidKeys {
		_, err := s.Put(t.Context(), object.Object{Key: key, Body: []byte("x")}, always)
		wantError(t, fmt.Sprintf("put %q", key), err, storage.ErrKey)
		_, _, err = s.Get(t.Context(), key)
		wantError(t, fmt.Sprintf("get %q", key), err, object.ErrNotExist) // an origin answers 404
		_, err = s.Stat(t.Context(), key)
		wantError(t, fmt.Sprintf("stat %q", key), err, object.ErrNotExist)
		_, _, err = s.Open(t.Context(), key)
		wantError(t, fmt.Sprintf("open %q", key), err, object.ErrNotExist)
		wantError(t, fmt.Sprintf("delete %q", key), s.Delete(t.Context(), key), storage.ErrKey)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("invalid keys left %q", got)
	}
}

func testAwkwardKeys(t *testing.T, s storage.Store) {
	awkward := []string{
		"a b", "a+b", "a%2fb", "a?b", "a#b", "a&b=c", "ä/日本", "a..b", "a.", "~a", "a:b", "a*b", "-a", "'\"", "a;b,c",
		"e/" + strings.Repeat("e", storage.MaxElement), strings.TrimSuffix(strings.Repeat(strings.Repeat("f", 99)+"/", storage.MaxKey/100), "/"),
	}
	for _, key := range awkward {
		put(t, s, key, key, absent)
	}
	for _, key := range awkward {
		wantBody(t, s, key, key)
	}
	slices.Sort(awkward)
	if got := keys(t, s, ""); !slices.Equal(got, awkward) {
		t.Errorf("listed %q\nwant %q", got, awkward)
	}
	for _, key := range awkward {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("deletes left %q", got)
	}
}

func testAbsent(t *testing.T, s storage.Store) {
	put(t, s, "k", "first", absent)
	_, err := s.Put(t.Context(), object.Object{Key: "k", Body: []byte("second")}, absent)
	wantError(t, "put over an object", err, object.ErrPrecondition)
	_, err = s.Put(t.Context(), object.Object{Key: "k", Body: []byte("first")}, absent)
	wantError(t, "put of the same bytes over an object", err, object.ErrPrecondition)
	wantBody(t, s, "k", "first")
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "third", absent)
	wantBody(t, s, "k", "third")
}

func testMatch(t *testing.T, s storage.Store) {
	_, err := s.Put(t.Context(), object.Object{Key: "k", Body: []byte("x")}, matches(`"5d41402abc4b2a76b9719d911017c592"`))
	wantError(t, "put over nothing", err, object.ErrPrecondition)
	_, _, err = s.Get(t.Context(), "k")
	wantError(t, "get after a refused put", err, object.ErrNotExist)

	one := put(t, s, "k", "one", always)
	two := put(t, s, "k", "two", matches(one))
	_, err = s.Put(t.Context(), object.Object{Key: "k", Body: []byte("zombie")}, matches(one))
	wantError(t, "put over a newer object", err, object.ErrPrecondition)
	wantBody(t, s, "k", "two")
	_, err = s.Put(t.Context(), object.Object{Key: "k", Body: []byte("x")}, object.Condition{Absent: true, Match: two})
	wantError(t, "put where both absent and matched", err, object.ErrPrecondition)
	_, err = s.Put(t.Context(), object.Object{Key: "new", Body: []byte("x")}, object.Condition{Absent: true, Match: two})
	wantError(t, "put where both absent and matched", err, object.ErrPrecondition)
	put(t, s, "k", "three", matches(two))
	wantBody(t, s, "k", "three")
}

func testETags(t *testing.T, s storage.Store) {
	form := regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`) // RFC 9110, 8.8.3
	seen := make(map[string]string)
	for _, body := range []string{"", "a", "b", "ab", "ba", strings.Repeat("a", 70000)} {
		etag := put(t, s, "k", body, always)
		if !form.MatchString(etag) {
			t.Errorf("ETag %s is no strong entity tag", etag)
		}
		if other, ok := seen[etag]; ok {
			t.Errorf("ETag %s is that of %.20q and of %.20q", etag, other, body)
		}
		seen[etag] = body
		info, err := s.Stat(t.Context(), "k")
		if err != nil || info.ETag != etag {
			t.Errorf("put answers ETag %s, stat %s, %v", etag, info.ETag, err)
		}
	}
}

func testBodiesNotShared(t *testing.T, s storage.Store) {
	body := []byte("as it was put")
	if _, err := s.Put(t.Context(), object.Object{Key: "k", Body: body}, always); err != nil {
		t.Fatal(err)
	}
	clear(body) // a caller's buffer is his own again after Put
	got, _, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	clear(got) // and what Get returns is, too
	wantBody(t, s, "k", "as it was put")
}

func testRanges(t *testing.T, s storage.Store) {
	body := noise(300_000)
	put(t, s, "k.ts", string(body), always)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, info, err := s.Open(r.Context(), "k.ts")
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("ETag", info.ETag)
		http.ServeContent(w, r, "k.ts", info.Modified, f)
	}))
	defer server.Close()
	for _, c := range []struct {
		header string
		want   []byte
	}{
		{"", body},
		{"bytes=0-0", body[:1]},
		{"bytes=188-375", body[188:376]},
		{"bytes=299999-", body[299999:]},
		{"bytes=-188", body[300_000-188:]},
		{"bytes=100000-400000", body[100000:]},
	} {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		request.Header.Set("Range", c.header)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("range %q: %s, %d bytes, %v, want %d bytes", c.header, response.Status, len(got), err, len(c.want))
		}
	}

	f, _, err := s.Open(t.Context(), "k.ts")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var some [1000]byte
	for range 50 {
		at := rand.Int64N(int64(len(body) - len(some)))
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f, some[:]); err != nil || !bytes.Equal(some[:], body[at:][:len(some)]) {
			t.Fatalf("read at %d: other bytes, %v", at, err)
		}
	}
	if at, err := f.Seek(0, io.SeekEnd); err != nil || at != int64(len(body)) {
		t.Errorf("seek to the end: %d, %v", at, err)
	}
	if n, err := f.Read(some[:]); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %d, %v, want EOF", n, err)
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the start: no error")
	}
}

func testReplacedWhileOpen(t *testing.T, s storage.Store) {
	old, replacement := noise(1<<20), noise(1<<20)
	put(t, s, "k", string(old), always)
	f, _, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(f, head); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", string(replacement), always)
	rest, err := io.ReadAll(f)
	if got := append(head, rest...); err == nil && !bytes.Equal(got, old) {
		t.Error("a reader mixed two versions")
	}
	if _, err := f.Seek(500_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	n, err := io.ReadFull(f, head)
	if err == nil && !bytes.Equal(head[:n], old[500_000:][:n]) {
		t.Error("a seek took a reader to another version")
	}
}

func keys(t *testing.T, s storage.Store, prefix string) []string {
	t.Helper()
	var got []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Key)
	}
	return got
}

func testList(t *testing.T, s storage.Store) {
	// In byte order: '-' < '.' < '/' < '0', which a sorted tree walk gets wrong.
	all := []string{"a-b/c", "a.m3u8", "a/0.ts", "a/1.ts", "a/b-c", "a/b/0.ts", "a/b/1.ts", "a0", "b/a"}
	for _, i := range rand.Perm(len(all)) {
		put(t, s, all[i], all[i], always)
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"", all},
		{"a", all[:8]},
		{"a/", all[2:7]},
		{"a/b", all[4:7]},
		{"a/b/", all[5:7]},
		{"a/b/1.ts", all[6:7]},
		{"a/b/1.tss", nil},
		{"c", nil},
		{"..", nil},
		{"/", nil},
	} {
		if got := keys(t, s, c.prefix); !slices.Equal(got, c.want) {
			t.Errorf("list %q: %q, want %q", c.prefix, got, c.want)
		}
	}
	for info, err := range s.List(t.Context(), "a/b") {
		if err != nil {
			t.Fatal(err)
		}
		stat, err := s.Stat(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != stat.Size || info.ETag != "" && info.ETag != stat.ETag {
			t.Errorf("list describes %+v, stat %+v", info, stat)
		}
		if info.Modified.Sub(stat.Modified).Abs() > time.Second { // HTTP dates have whole seconds
			t.Errorf("list: modified %v, stat: %v", info.Modified, stat.Modified)
		}
		break // and a caller may leave early
	}
}

func testEndedContext(t *testing.T, s storage.Store) {
	put(t, s, "k", "x", always)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Put(ctx, object.Object{Key: "k", Body: []byte("y")}, always)
	wantError(t, "put", err, context.Canceled)
	_, _, err = s.Get(ctx, "k")
	wantError(t, "get", err, context.Canceled)
	_, err = s.Stat(ctx, "k")
	wantError(t, "stat", err, context.Canceled)
	_, _, err = s.Open(ctx, "k")
	wantError(t, "open", err, context.Canceled)
	wantError(t, "delete", s.Delete(ctx, "k"), context.Canceled)
	var listErr error
	for _, err := range s.List(ctx, "") {
		listErr = err
	}
	wantError(t, "list", listErr, context.Canceled)
	wantBody(t, s, "k", "x")
}

func testUsage(t *testing.T, s storage.Store) {
	etag := put(t, s, "k", "12345", always)
	_, _ = s.Put(t.Context(), object.Object{Key: "k", Body: []byte("67")}, absent)
	_, _ = s.Put(t.Context(), object.Object{Key: "../k", Body: []byte("8")}, absent)
	wantBody(t, s, "k", "12345")
	_, _, _ = s.Get(t.Context(), "missing")
	_, _ = s.Stat(t.Context(), "k")
	keys(t, s, "")
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Put(t.Context(), object.Object{Key: "k", Body: []byte("9")}, matches(etag))
	want := map[string][3]int64{ // requests, failed, bytes
		"put":    {3, 0, 8},
		"get":    {2, 0, 5},
		"stat":   {1, 0, 0},
		"list":   {1, 0, 0},
		"delete": {1, 0, 0},
	}
	for operation, c := range s.Usage().Operations {
		if got := [3]int64{c.Requests.Load(), c.Failed.Load(), c.Bytes.Load()}; got != want[operation] {
			t.Errorf("%s: requests, failed, bytes %v, want %v", operation, got, want[operation])
		}
	}
}

// noise returns n bytes that no two calls have in common.
func noise(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}
