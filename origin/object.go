package origin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"weir/hls"
	"weir/media/object"
)

// routeOf names a kind of object in metrics.
func routeOf(k object.Kind) string {
	switch k {
	case object.Playlist:
		return "playlist"
	case object.Segment:
		return "segment"
	}
	return "other"
}

// maxKey bounds keys, in bytes. The longest that a segmenter writes is an
// app, a name, a broadcast, a rendition and a file name: less than 256.
const maxKey = 512

// kindOf checks a key from a URL and tells what it names; Other is what viewers
// are never given: keys that no segmenter writes, and objects that are the
// pipeline's own, as index runs are. A key that passes
// cannot leave the store's root, name a hidden file, or list a directory: its
// elements are of the characters of a stream's name and begin with no dot.
func kindOf(key string) object.Kind {
	if len(key) > maxKey {
		return object.Other
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || strings.ContainsFunc(part, notKeyRune) {
			return object.Other
		}
	}
	switch k := object.KindOf(key); k {
	case object.Playlist, object.Segment:
		return k
	}
	return object.Other
}

func notKeyRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

// object answers GET and HEAD of an object: preconditions and ranges as in
// RFC 9110, 13 and 14.
func (h *Handler) object(w http.ResponseWriter, r *http.Request, key string, k object.Kind) {
	h.allowOrigin(w, r)
	if k == object.Other {
		notFound(w)
		return
	}
	body, info, err := h.cfg.Objects.Open(r.Context(), key)
	if err != nil {
		h.openFailed(w, r, err)
		return
	}
	defer body.Close()
	// A server may ignore Range (RFC 9110, 14.2): no player asks for several
	// ranges at once, and answering them costs a goroutine and a pipe.
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	w.Header().Set("Content-Type", object.ContentType(key))
	w.Header().Set("ETag", entityTag(info.ETag))
	if k == object.Playlist {
		h.playlist(w, r, body, info)
		return
	}
	h.allowTime(w, info.Size)
	w.Header().Set("Cache-Control", object.CacheForever)
	http.ServeContent(w, r, "", info.Modified, body)
}

// openFailed answers for a store that has no object, or no answer.
func (h *Handler) openFailed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, object.ErrNotExist):
		notFound(w)
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The viewer is gone; nobody reads this, and the store did no wrong.
		w.WriteHeader(499)
	default:
		// Not a 404: players give up on those, and try again on this
		// (RFC 9110, 15.6.4).
		h.fails.report("object not served", err)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Retry-After", "1")
		text(w, http.StatusServiceUnavailable, "storage is unavailable, try again")
	}
}

// maxPlaylist bounds what is read into memory for one request. A playlist of
// 24 h of 1 s segments has 4 MB.
const maxPlaylist = 8 << 20

// playlist answers with a playlist. Its own text says how long it holds, so
// it is read whole.
func (h *Handler) playlist(w http.ResponseWriter, r *http.Request, body io.Reader, info object.Info) {
	text, err := io.ReadAll(io.LimitReader(body, maxPlaylist+1))
	if err == nil && len(text) > maxPlaylist {
		err = fmt.Errorf("the playlist is longer than %d bytes", maxPlaylist)
	}
	if err != nil {
		w.Header().Del("ETag")
		w.Header().Del("Content-Type")
		h.openFailed(w, r, fmt.Errorf("read playlist: %w", err))
		return
	}
	w.Header().Set("Cache-Control", h.playlistCache(text))
	w.Header().Add("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		w.Header().Set("ETag", gzipTag(w.Header().Get("ETag")))
		text = gzipped(text)
		setGzip(w, len(text))
	}
	h.allowTime(w, int64(len(text)))
	http.ServeContent(w, r, "", info.Modified, bytes.NewReader(text))
}

// playlistCache says how long a playlist may be kept. A multivariant one may be
// replaced by the next broadcast's: it is kept no longer than a live one.
func (h *Handler) playlistCache(text []byte) string {
	head := hls.ReadHead(text)
	if head.Ended {
		return object.CacheEnded
	}
	return object.CacheLive(cmp.Or(head.Target, h.cfg.Segment))
}

// entityTag writes a store's ETag as RFC 9110, 8.8.3 wants it. S3 quotes its
// own.
func entityTag(tag string) string {
	if strings.HasPrefix(tag, `"`) || strings.HasPrefix(tag, `W/"`) {
		return tag
	}
	return `"` + tag + `"`
}

// gzipTag is the tag of the same entity's gzip representation: other bytes,
// so another tag (RFC 9110, 8.8.1).
func gzipTag(tag string) string { return strings.TrimSuffix(tag, `"`) + `-gzip"` }

// acceptsGzip reports whether gzip may be sent (RFC 9110, 12.5.3). Ranges are
// of the plain text.
func acceptsGzip(r *http.Request) bool {
	if r.Header.Get("Range") != "" {
		return false
	}
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimLeft(strings.TrimSpace(weight), "qQ= ")
			return weight == "" || strings.Trim(q, "0.") != ""
		}
	}
	return false
}

// setGzip says what the body is. http.ServeContent leaves the length of
// encoded bodies to who encodes.
func setGzip(w http.ResponseWriter, size int) {
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(size))
}

// compressors are kept because a new one allocates 800 kB.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

func gzipped(p []byte) []byte {
	out := bytes.NewBuffer(make([]byte, 0, len(p)/4+64))
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(out)
	// A bytes.Buffer takes every write.
	_, _ = z.Write(p)
	_ = z.Close()
	return out.Bytes()
}
