package storage

import (
	"fmt"
	"strings"
	"time"
)

// Keep says how long objects stay: none, window, a duration, or forever.
type Keep struct {
	// Window: while live, what has left the live playlist goes.
	Window bool
	// Limit is for how long a whole broadcast stays behind its end; 0 for
	// ever. It is the store's, or the sweeper's, to hold it.
	Limit time.Duration
	text  string
}

// UnmarshalText reads none, window, forever, or a duration as in 720h.
func (k *Keep) UnmarshalText(text []byte) error {
	*k = Keep{text: string(text)}
	switch k.text {
	case "forever":
	case "window", "none":
		k.Window = true
	default:
		d, err := time.ParseDuration(k.text)
		if err != nil || d < time.Hour {
			return fmt.Errorf("want none, window, forever, or a duration of an hour and more, as in 720h")
		}
		k.Limit = d
	}
	return nil
}

// keepTag is the name of the tag by which a bucket's lifecycle rules know what
// is to be kept for a time only.
const keepTag = "weir-keep"

// Tag has a bucket's objects tagged that are not to stay. A directory has no
// tags: there the sweeper goes by the time of the last write.
func (k Keep) Tag(store string) string {
	if !strings.HasPrefix(strings.ToLower(store), "s3://") || k.Limit == 0 && k.text != "none" {
		return store
	}
	separator := "?"
	if strings.Contains(store, "?") {
		separator = "&"
	}
	return store + separator + "tag=" + keepTag + ":" + k.text
}
