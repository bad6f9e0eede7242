package origin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

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
	if k == object.Playlist {
		h.playlist(w, r, key)
		return
	}
	h.segment(w, r, key)
}

// segment answers with a segment: from memory where several viewers want it,
// as they do at the live edge, else as the store gives it.
func (h *Handler) segment(w http.ResponseWriter, r *http.Request, key string) {
	if h.wanted.again(key) {
		b, release, err := h.segments.hold(r.Context(), key)
		if err == nil {
			defer release()
			setHeader(w, key, b.info, object.CacheForever)
			h.send(w, r, b.info.Modified, b.body)
			return
		}
		if !errors.Is(err, errNoRoom) {
			h.openFailed(w, r, err)
			return
		}
	}
	h.stream(w, r, key, object.CacheForever)
}

// stream answers with an object as the store gives it.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, key, control string) {
	// The store has a while to answer; what it then gives takes its time.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	impatient := time.AfterFunc(storePatience, cancel)
	body, info, err := h.cfg.Objects.Open(ctx, key)
	if err != nil {
		h.openFailed(w, r, err)
		return
	}
	defer body.Close()
	impatient.Stop()
	setHeader(w, key, info, control)
	h.allowTime(w, info.Size)
	http.ServeContent(w, r, "", info.Modified, body)
}

func setHeader(w http.ResponseWriter, key string, info object.Info, control string) {
	header := w.Header()
	header.Set("Content-Type", object.ContentType(key))
	header.Set("ETag", entityTag(info.ETag))
	header.Set("Cache-Control", control)
}

// send answers with a body that is in memory. What most players ask for, all
// of it, is written at once; http.ServeContent would copy it piece by piece.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, modified time.Time, body []byte) {
	h.allowTime(w, int64(len(body)))
	for _, name := range []string{"Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"} {
		if r.Header.Get(name) != "" {
			http.ServeContent(w, r, "", modified, bytes.NewReader(body))
			return
		}
	}
	header := w.Header()
	header.Set("Accept-Ranges", "bytes")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if !modified.IsZero() {
		header.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the viewer may have left
	}
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

// playlist answers with a playlist. Its own text says how long it holds.
func (h *Handler) playlist(w http.ResponseWriter, r *http.Request, key string) {
	p, release, err := h.playlists.hold(r.Context(), key)
	if errors.Is(err, errNoRoom) {
		h.stream(w, r, key, "no-cache")
		return
	}
	if err != nil {
		h.openFailed(w, r, err)
		return
	}
	defer release()
	setHeader(w, key, p.info, h.playlistCache(p.body))
	w.Header().Add("Vary", "Accept-Encoding")
	text := p.body
	if acceptsGzip(r) {
		text = p.zipped()
		w.Header().Set("ETag", gzipTag(w.Header().Get("ETag")))
		setGzip(w, len(text))
	}
	h.send(w, r, p.info.Modified, text)
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
