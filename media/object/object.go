// Package object is the vocabulary at the pipeline's end: objects as the
// segmenter writes them, a store keeps them and an origin serves them.
package object

import (
	"errors"
	"time"
)

// Object is what is written to a store in one piece.
type Object struct {
	// Key is a relative, slash-separated path without "." or ".." elements.
	Key string
	// Body is not retained after the call it is passed to.
	Body []byte
	// ContentType and CacheControl are what a viewer is to be told (RFC 9110,
	// 8.3; RFC 9111, 5.2). A store without metadata drops them: who serves its
	// objects knows them by the key.
	ContentType, CacheControl string
}

// Info describes a stored object. ETag is opaque, and never empty: equal
// ETags under one key mean equal bytes.
type Info struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
}

// Condition makes a write conditional (RFC 9110, 13.1). The zero Condition
// writes whatever is there.
type Condition struct {
	// Absent writes only where no object has the key: If-None-Match: *.
	Absent bool
	// Match, where not empty, writes only over the object with this ETag:
	// If-Match. A missing object does not match.
	Match string
}

// The errors that callers of a store branch on. A store wraps them.
var (
	// ErrNotExist: no object has the key.
	ErrNotExist = errors.New("object does not exist")
	// ErrPrecondition: the Condition did not hold, and nothing was written.
	ErrPrecondition = errors.New("object precondition failed")
)
