package hls

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Head is what a playlist says of itself as a whole. Who wants to know whether
// it is right asks package check.
type Head struct {
	// Media tells a media playlist from a multivariant one: it has segments.
	Media bool
	// Ended: it has ENDLIST, and does not change any more.
	Ended bool
	// Target is the target duration; 0 where it says none.
	Target time.Duration
}

// ReadHead reads a playlist (RFC 8216, 4.3).
func ReadHead(playlist []byte) (h Head) {
	for line := range lines(playlist) {
		switch value, isTarget := bytes.CutPrefix(line, []byte("#EXT-X-TARGETDURATION:")); {
		case isTarget:
			if n, err := strconv.ParseUint(string(value), 10, 16); err == nil {
				h.Target = time.Duration(n) * time.Second
			}
		case bytes.HasPrefix(line, []byte("#EXTINF:")):
			h.Media = true
		case string(line) == "#EXT-X-ENDLIST":
			h.Ended = true
		}
	}
	return h
}

// URIs yields the URIs of a playlist, in its lines and its URI attributes (RFC
// 8216, 4.1 and 4.2).
func URIs(playlist []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range lines(playlist) {
			if line[0] != '#' {
				if !yield(string(line)) {
					return
				}
				continue
			}
			for uri := range attributeURIs(string(line)) {
				if !yield(uri) {
					return
				}
			}
		}
	}
}

// lines yields the lines of a playlist that are not blank, without white space
// around them.
func lines(playlist []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(playlist) {
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// attributeURIs yields the values of a tag's URI attributes.
func attributeURIs(tag string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, ok := strings.Cut(tag, `URI="`)
			if !ok {
				return
			}
			uri, rest, _ := strings.Cut(rest, `"`)
			if uri != "" && !yield(uri) {
				return
			}
			tag = rest
		}
	}
}
