package check

import (
	"slices"
	"strconv"
	"strings"

	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
)

// header returns a header of the response, "" where there is none.
func (o *Object) header(name string) string {
	if v := o.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// checkDelivery checks how an object came.
func (c *Checker) checkDelivery(w Want, o Object) {
	if !o.HTTP || o.Err != nil {
		return
	}
	kind := mediaType(o.header("Content-Type"))
	switch w.Kind {
	case Playlist:
		p := playlist.Path(w.URI)
		named := strings.HasSuffix(p, ".m3u8") || strings.HasSuffix(p, ".m3u")
		if !named && kind != "application/vnd.apple.mpegurl" && kind != "audio/mpegurl" {
			c.tell(w.URI, "OBJ-PLAYLIST-TYPE", "Content-Type is %q", report.Clip(kind, 60))
		}
		if len(o.Body) >= 8<<10 && o.header("Content-Encoding") == "" {
			c.tell(w.URI, "OBJ-GZIP", "%d bytes came uncompressed", len(o.Body))
		}
	case Segment:
		f := stream.FormatOf(o.Body)
		if want := mediaTypes[f]; want != nil && !w.entry.Encrypted && !slices.Contains(want, kind) {
			c.tell(w.of.uri, "OBJ-SEGMENT-TYPE", "%s came as %q", f, report.Clip(kind, 60))
		}
		if o.Redirected {
			c.tell(w.of.uri, "OBJ-REDIRECT", "%s was redirected", report.Display(w.URI))
		}
	}
	if w.Kind != Departed && o.header("Access-Control-Allow-Origin") == "" {
		c.tell(c.place(w), "OBJ-CORS", "%s came without Access-Control-Allow-Origin", report.Display(w.URI))
	}
}

// place is the playlist that a finding about many objects is told of.
func (c *Checker) place(w Want) string {
	if w.of != nil {
		return w.of.uri
	}
	return w.URI
}

// tell reports a rule once for a playlist.
func (c *Checker) tell(where, rule, format string, args ...any) {
	if c.once[where] == nil {
		c.once[where] = map[string]bool{}
	}
	if !c.once[where][rule] {
		c.once[where][rule] = true
		c.report.Add(rule, where, 0, format, args...)
	}
}

// checkCache: a live playlist must not be cached past its next version.
func (c *Checker) checkCache(w Want, o Object, p *playlist.Playlist) {
	if !o.HTTP || !p.Live() || p.Target == 0 {
		return
	}
	for d := range strings.SplitSeq(o.header("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		if age, err := strconv.Atoi(value); err == nil && name == "max-age" && age > p.Target {
			c.tell(w.URI, "OBJ-CACHE", "max-age is %d s, the target duration %d s", age, p.Target)
		}
	}
}

// mediaTypes are the Content-Types of each format [Authoring 10.4].
var mediaTypes = map[stream.Format][]string{
	stream.TransportStream: {"video/mp2t"},
	stream.FragmentedMP4:   {"video/mp4", "video/iso.segment", "audio/mp4", "application/mp4"},
	stream.PackedAudio:     {"audio/aac", "audio/mpeg", "audio/ac3", "audio/eac3"},
	stream.WebVTT:          {"text/vtt", "text/plain"},
}

// mediaType is a Content-Type without its parameters.
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}
