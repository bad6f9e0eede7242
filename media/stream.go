package media

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Stream is what viewers know: an application and a name, as in live/alice.
// A Stream made by ParseStream is safe as a path, an object key and, through
// Token, as one token of a NATS subject.
type Stream struct {
	App, Name string
}

// maxPart is the longest app or name, in bytes.
const maxPart = 64

// ErrStreamName is wrapped by every error of ParseStream.
var ErrStreamName = errors.New("bad stream name")

// ParseStream checks the two parts of a stream's name. A query string on
// either part is cut off, and so are slashes around app. Each part must match
// [A-Za-z0-9_-][A-Za-z0-9._-]{0,63} and hold no "..".
func ParseStream(app, name string) (Stream, error) {
	app, _, _ = strings.Cut(app, "?")
	name, _, _ = strings.Cut(name, "?")
	s := Stream{App: strings.Trim(app, "/"), Name: name}
	if err := checkPart("app", s.App); err != nil {
		return Stream{}, err
	}
	if err := checkPart("name", s.Name); err != nil {
		return Stream{}, err
	}
	return s, nil
}

// checkPart never repeats the part in its error: it may be a stream key.
func checkPart(what, p string) error {
	if p == "" {
		return fmt.Errorf("%w: the %s is empty", ErrStreamName, what)
	}
	if len(p) > maxPart {
		return fmt.Errorf("%w: the %s is longer than %d bytes", ErrStreamName, what, maxPart)
	}
	if p[0] == '.' || strings.Contains(p, "..") {
		return fmt.Errorf("%w: the %s begins with a dot or holds two in a row", ErrStreamName, what)
	}
	for i := range len(p) {
		if !partByte(p[i]) {
			return fmt.Errorf("%w: the %s holds a byte outside A-Z a-z 0-9 . _ -", ErrStreamName, what)
		}
	}
	return nil
}

func partByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// String returns app/name.
func (s Stream) String() string { return s.App + "/" + s.Name }

// MarshalText writes app/name, for logs and JSON.
func (s Stream) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Token returns the stream as one token of a NATS subject or key: app/name
// with every dot written as "=", which no name holds.
func (s Stream) Token() string { return strings.ReplaceAll(s.String(), ".", "=") }

// ParseToken is the inverse of Token.
func ParseToken(t string) (Stream, error) {
	app, name, ok := strings.Cut(strings.ReplaceAll(t, "=", "."), "/")
	if !ok {
		return Stream{}, fmt.Errorf("%w: no slash between app and name", ErrStreamName)
	}
	return ParseStream(app, name)
}

// broadcastEncoding sorts like the bytes it encodes and needs no escaping in
// a subject, a path or a URL.
var broadcastEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// broadcastTime is the form of the second in a broadcast's id.
const broadcastTime = "20060102T150405Z"

// BroadcastID names a broadcast that began at now: sortable by that second,
// unguessable by the 80 random bits, as in 20261121T014500Z-k3v9m2x8q0r7t5wz.
func BroadcastID(now time.Time, random [10]byte) string {
	return now.UTC().Format(broadcastTime) + "-" + broadcastEncoding.EncodeToString(random[:])
}

// BroadcastBegan returns when a broadcast of that id began, to the second.
func BroadcastBegan(id string) (time.Time, error) {
	began, _, _ := strings.Cut(id, "-")
	t, err := time.Parse(broadcastTime, began)
	if err != nil {
		return time.Time{}, fmt.Errorf("read broadcast id: %w", err)
	}
	return t, nil
}
