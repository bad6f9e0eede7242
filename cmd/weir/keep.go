package main

import (
	"fmt"
	"strings"
	"time"
)

// keep says how long objects stay: none, window, a duration, or forever.
type keep struct {
	// window: while live, what has left the live playlist goes.
	window bool
	// limit is for how long a whole broadcast stays behind its end; 0 for
	// ever. It is the store's, or the sweeper's, to hold it.
	limit time.Duration
	text  string
}

// UnmarshalText reads none, window, forever, or a duration as in 720h.
func (k *keep) UnmarshalText(text []byte) error {
	*k = keep{text: string(text)}
	switch k.text {
	case "forever":
	case "window", "none":
		k.window = true
	default:
		d, err := time.ParseDuration(k.text)
		if err != nil || d < time.Hour {
			return fmt.Errorf("want none, window, forever, or a duration of an hour and more, as in 720h")
		}
		k.limit = d
	}
	return nil
}

// keepTag is the name of the tag by which a bucket's lifecycle rules know what
// is to be kept for a time only.
const keepTag = "weir-keep"

// tag has a bucket's objects tagged that are not to stay. A directory has no
// tags: there the sweeper goes by the time of the last write.
func (k keep) tag(store string) string {
	if !strings.HasPrefix(strings.ToLower(store), "s3://") || k.limit == 0 && k.text != "none" {
		return store
	}
	separator := "?"
	if strings.Contains(store, "?") {
		separator = "&"
	}
	return store + separator + "tag=" + keepTag + ":" + k.text
}

// runSegments is how many segments leave the store together with --keep
// window, see segmenter.
const runSegments = 64

// plan is for how long an object stays, as a Workload has it: with window it
// is what the segmenter needs to be sure that no player asks for it.
func (k keep) plan(segment, window time.Duration) time.Duration {
	if k.window {
		return 3*runSegments*segment + 2*window
	}
	return k.limit
}
