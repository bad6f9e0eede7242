// Package storage keeps objects: HLS segments, playlists and their indexes,
// written whole, read whole or in ranges, replaced only on purpose.
//
// Memory, Directory and S3 are one thing to their callers, and one conformance
// suite runs against all of them. What the suite holds them to, beyond the
// signatures of [Store]:
//
//   - A write is atomic: a reader sees the object before or after it, never a
//     part of it, whatever happens to the writer.
//   - A write under an [object.Condition] is atomic with the check of that
//     condition, also between processes: of any number of writers that race
//     for one key, exactly one wins and the others get object.ErrPrecondition.
//   - An ETag is a strong entity tag with its quotes (RFC 9110, 8.8.3), fit
//     for a header as it is.
//   - A call that fails leaves no object behind that was not there before,
//     with one exception that no store on a network can avoid: a Put whose
//     answer was lost may have happened.
//   - A call ends when its context does.
package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"weir/media/object"
)

// Store is what every store of this package can do. It stands here for those
// who wire stores and for the conformance suite; a user declares the one to
// three methods it needs.
type Store interface {
	// Put writes o where c holds and returns the new ETag. Where c does not
	// hold the error is object.ErrPrecondition; a Condition that demands both
	// Absent and Match never holds. o.Body is not retained.
	Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error)
	// Get reads an object whole, or fails with object.ErrNotExist. The body
	// belongs to the caller.
	Get(ctx context.Context, key string) (body []byte, info object.Info, err error)
	// Stat describes an object without reading it, or fails with
	// object.ErrNotExist.
	Stat(ctx context.Context, key string) (object.Info, error)
	// Open reads an object piecemeal, or fails with object.ErrNotExist. What
	// is read is the version that the Info describes, or an error, also where
	// the object is replaced meanwhile. ctx covers the reading, too.
	Open(ctx context.Context, key string) (io.ReadSeekCloser, object.Info, error)
	// List yields the objects whose keys begin with prefix, in ascending byte
	// order of their keys. Objects written or deleted meanwhile may or may not
	// appear. An ETag that the store would have to read the object for is left
	// empty. An error ends the sequence.
	List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
	// Delete removes an object. To delete what is not there is a success.
	Delete(ctx context.Context, key string) error
	// Usage counts what the store was asked for.
	Usage() *Usage
}

// The errors that stores wrap besides those of package object.
var (
	// ErrKey: the key breaks the rules of CheckKey.
	ErrKey = errors.New("invalid object key")
	// ErrFull: the store has no room, or no quota, for the bytes.
	ErrFull = errors.New("store is full")
	// ErrDenied: the store knows us and says no, or does not know us.
	ErrDenied = errors.New("store denied access")
	// ErrUnavailable: the store gave no useful answer in the time it had. The
	// same call may succeed later.
	ErrUnavailable = errors.New("store is unavailable")
)

// MaxKey bounds a key, in bytes; S3 allows 1024 for prefix and key together.
// MaxElement bounds what stands between two slashes, as file systems do.
const (
	MaxKey     = 900
	MaxElement = 255
)

// CheckKey tells whether a key may name an object in every store: a relative,
// slash-separated path of valid UTF-8 without control characters and
// backslashes, whose elements are neither empty nor longer than MaxElement and
// do not begin with a dot. So ".." is no element, and hidden names are free for
// a directory's own files. The error wraps ErrKey.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: empty", ErrKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrKey, len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: %q is not UTF-8", ErrKey, key)
	case strings.ContainsFunc(key, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		return fmt.Errorf("%w: %q has a control character or backslash", ErrKey, key)
	}
	for element := range strings.SplitSeq(key, "/") {
		switch {
		case element == "":
			return fmt.Errorf("%w: %q has an empty element", ErrKey, key)
		case element[0] == '.':
			return fmt.Errorf("%w: %q has an element that begins with a dot", ErrKey, key)
		case len(element) > MaxElement:
			return fmt.Errorf("%w: %q has an element of %d bytes, at most %d are allowed", ErrKey, key, len(element), MaxElement)
		}
	}
	return nil
}

// contentTag is the ETag of stores that make their own: half of the body's
// SHA-256, so that equal tags mean equal bytes, whoever wrote them.
func contentTag(sum [sha256.Size]byte) string {
	return `"` + hex.EncodeToString(sum[:sha256.Size/2]) + `"`
}

// admits tells whether c allows a write over the object with this ETag; an
// empty one stands for no object.
func admits(c object.Condition, etag string) bool {
	return (!c.Absent || etag == "") && (c.Match == "" || c.Match == etag)
}

// admit is what every call on one object begins with.
func admit(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}

// admitRead is admit for calls that look for an object: what cannot be a key
// names none.
func admitRead(ctx context.Context, key string) error {
	err := admit(ctx, key)
	if errors.Is(err, ErrKey) {
		return fmt.Errorf("%w: %w", object.ErrNotExist, err)
	}
	return err
}

// isAnswer tells the errors that are a healthy store's answers to a question.
func isAnswer(err error) bool {
	return errors.Is(err, object.ErrNotExist) || errors.Is(err, object.ErrPrecondition)
}

// final tells the errors that no other attempt mends.
func final(err error) bool { return isAnswer(err) || errors.Is(err, ErrKey) }
