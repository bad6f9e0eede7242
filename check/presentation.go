package check

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
	"weir/media"
)

// checkWhole: what all segments of a rendition show together.
func (m *rendition) checkWhole(r *report.Report) {
	if m.current == nil || m.current.IFrames {
		return
	}
	if m.before != nil {
		m.before.checkAlone(r)
	}
	if m.videos > 1 && m.keyed == m.videos && !m.holed && !m.sealed && !m.independent && !m.current.Independent {
		r.Add("SEG-INDEPENDENT-UNSAID", m.uri, 0, "all %d video segments begin with an IDR picture", m.videos)
	}
}

// compareRenditions compares media playlists side by side [RFC 8216bis 6.2.4].
func (c *Checker) compareRenditions(r *report.Report) {
	var first *rendition
	for _, m := range c.renditions {
		if m.current == nil || m.current.IFrames || m.current.Target == 0 {
			continue
		}
		if c.root.Independent && m.current.Independent {
			r.Add("MVP-INDEPENDENT", m.uri, 0, "EXT-X-INDEPENDENT-SEGMENTS stands here and in the multivariant playlist")
		}
		if first == nil {
			first = m
			continue
		}
		compare(first, m, r)
	}
}

// compare compares a rendition with the first one.
func compare(first, m *rendition, r *report.Report) {
	a, b := first.current, m.current
	fail := func(rule, format string, args ...any) { r.Add(rule, m.uri, 0, format, args...) }
	if a.Target != b.Target {
		fail("REN-TARGETDURATION", "EXT-X-TARGETDURATION is %d here, %d in %s", b.Target, a.Target, report.Display(a.URI))
	}
	if a.Kind != b.Kind {
		fail("REN-TYPE", "EXT-X-PLAYLIST-TYPE is %q here, %q in %s", b.Kind, a.Kind, report.Display(a.URI))
	}
	if a.Dated() != b.Dated() {
		fail("REN-PDT", "EXT-X-PROGRAM-DATE-TIME here: %v, in %s: %v", b.Dated(), report.Display(a.URI), a.Dated())
	}
	if !sameControl(a.ServerControl, b.ServerControl) {
		fail("REN-SERVER-CONTROL", "EXT-X-SERVER-CONTROL differs from that in %s", report.Display(a.URI))
	}
	if !a.Ended || !b.Ended || len(a.Segments) == 0 || len(b.Segments) == 0 {
		return
	}
	if x, y := a.Segments[len(a.Segments)-1].Discontinuities, b.Segments[len(b.Segments)-1].Discontinuities; x != y {
		fail("REN-DISCONTINUITY", "it ends with discontinuity %d, %s with %d", y, report.Display(a.URI), x)
	}
	if x, y := a.Seconds(), b.Seconds(); math.Abs(x-y) > float64(a.Target) {
		fail("REN-DURATION", "it lasts %.3f s, %s %.3f s", y, report.Display(a.URI), x)
	}
	if d := stream.Difference(m.firstPTS, first.firstPTS); a.Kind == "VOD" && first.hasPTS && m.hasPTS && max(d, -d) > media.Clock/2 {
		fail("REN-TIMESTAMP", "it begins %+.3f s from %s", stream.Seconds(d), report.Display(a.URI))
	}
}

// sameControl compares EXT-X-SERVER-CONTROL, whatever the order.
func sameControl(a, b playlist.Attributes) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if v, ok := b.Get(x.Name); !ok || v != x.Value {
			return false
		}
	}
	return true
}

// compareVariants compares what the multivariant playlist declares with what
// the segments are.
func (c *Checker) compareVariants(r *report.Report) {
	for i := range c.root.Variants {
		v := &c.root.Variants[i]
		m := c.byURI[c.cfg.Resolve(c.root.URI, v.URI)]
		if m == nil || m.current == nil {
			continue
		}
		fail := func(rule, format string, args ...any) { r.Add(rule, c.root.URI, v.Line, format, args...) }
		if v.IFrames {
			if !m.current.IFrames {
				fail("MVP-I-FRAMES", "%s does not say EXT-X-I-FRAMES-ONLY", report.Display(m.uri))
			}
			continue
		}
		sound := c.group(v)
		checkCodecs(v, append(slices.Clone(sound), m), fail)
		checkPicture(v, m, fail)
		checkBandwidth(v, m, sound, fail)
	}
}

// group are the audio renditions that go with a variant and have a playlist of
// their own.
func (c *Checker) group(v *playlist.Variant) (group []*rendition) {
	id, ok := v.Get("AUDIO")
	if !ok {
		return nil
	}
	for _, t := range c.root.Renditions {
		if uri := t.Value("URI"); t.Value("TYPE") == "AUDIO" && t.Value("GROUP-ID") == id && uri != "" {
			if m := c.byURI[c.cfg.Resolve(c.root.URI, uri)]; m != nil && m.current != nil {
				group = append(group, m)
			}
		}
	}
	return group
}

// checkCodecs compares CODECS with the tracks [RFC 8216bis 6.2.4].
func checkCodecs(v *playlist.Variant, all []*rendition, fail report.Func) {
	declared := playlist.SplitCodecs(v.Value("CODECS"))
	if len(declared) == 0 {
		return
	}
	var actual []string
	for _, m := range all {
		actual = append(actual, m.codecs...)
	}
	if len(actual) == 0 {
		return
	}
	for _, x := range actual {
		if !slices.ContainsFunc(declared, func(d string) bool { return covers(d, x) }) {
			fail("SEG-CODECS", "the segments hold %s, CODECS is %s", x, report.Clip(strings.Join(declared, ","), 100))
		}
	}
	for _, d := range declared {
		if !slices.ContainsFunc(actual, func(x string) bool { return family(d) == family(x) }) && family(d) != "" {
			fail("SEG-CODECS-EXTRA", "CODECS lists %s, the segments hold %s", report.Clip(d, 40), strings.Join(actual, ","))
		}
	}
}

// family is the kind of coding that a format belongs to, "" where segments
// are not looked into for it.
func family(codec string) string {
	name, _, _ := strings.Cut(codec, ".")
	switch name {
	case "avc1", "avc3":
		return "avc"
	case "hvc1", "hev1":
		return "hevc"
	case "mp4a", "ac-3", "ec-3":
		return name
	}
	return ""
}

// covers tells whether a declared format is that of the segments, or one that
// a decoder for it must play.
func covers(declared, actual string) bool {
	if family(declared) != family(actual) {
		return false
	}
	switch family(actual) {
	case "avc": // the same profile, and a level that is not lower
		if len(declared) != 11 || len(actual) != 11 {
			return false
		}
		d, err1 := strconv.ParseUint(declared[9:], 16, 8)
		x, err2 := strconv.ParseUint(actual[9:], 16, 8)
		return strings.EqualFold(declared[5:7], actual[5:7]) && err1 == nil && err2 == nil && d >= x
	case "mp4a":
		// ADTS says LC of HE-AAC too: its extension is found by decoding.
		he := actual == "mp4a.40.2" && (declared == "mp4a.40.5" || declared == "mp4a.40.29")
		mp3 := actual == "mp4a.40.34" && (declared == "mp4a.69" || strings.EqualFold(declared, "mp4a.6b"))
		return declared == actual || he || mp3
	}
	return true
}

// checkPicture compares RESOLUTION and FRAME-RATE with the video.
func checkPicture(v *playlist.Variant, m *rendition, fail report.Func) {
	if w, h, ok := v.Resolution(); ok && m.size != (stream.Size{}) && m.size != (stream.Size{Width: w, Height: h}) {
		fail("SEG-RESOLUTION", "RESOLUTION is %dx%d, the video is %s", w, h, m.size)
	}
	if _, ok := v.Get("FRAME-RATE"); ok && m.rate > 0 {
		if declared := v.Number("FRAME-RATE"); math.Abs(declared-m.rate) > 0.05*m.rate {
			fail("SEG-FRAME-RATE", "FRAME-RATE is %s, the video has %.3f", report.Clip(v.Value("FRAME-RATE"), 20), m.rate)
		}
	}
}

// checkBandwidth compares BANDWIDTH and AVERAGE-BANDWIDTH with the segments
// [RFC 8216bis 4.4.6.2, Authoring 1.26 to 1.29].
func checkBandwidth(v *playlist.Variant, m *rendition, sound []*rendition, fail report.Func) {
	peak, average := m.peak(), m.average()
	var morePeak, moreAverage float64
	for _, s := range sound {
		if s != m {
			morePeak, moreAverage = max(morePeak, s.peak()), max(moreAverage, s.average())
		}
	}
	peak, average = peak+morePeak, average+moreAverage
	declared := v.Number("BANDWIDTH")
	if peak == 0 || declared == 0 {
		return
	}
	// What was declared while the show was live could not be measured yet.
	ended := m.current.Ended && !m.wasLive
	switch {
	case ended && peak > 1.1*declared:
		fail("SEG-BANDWIDTH", "BANDWIDTH is %.0f, the peak %.0f", declared, peak)
	case !ended && peak > 1.25*declared:
		fail("SEG-BANDWIDTH-LIVE", "BANDWIDTH is %.0f, the peak %.0f", declared, peak)
	case ended && m.whole() && declared > 1.1*peak:
		fail("SEG-BANDWIDTH-HIGH", "BANDWIDTH is %.0f, the peak %.0f", declared, peak)
	}
	if stated := v.Number("AVERAGE-BANDWIDTH"); stated > 0 && (average > 1.1*stated || ended && m.whole() && average < 0.9*stated) {
		fail("SEG-AVERAGE-BANDWIDTH", "AVERAGE-BANDWIDTH is %.0f, the average %.0f", stated, average)
	}
}

// whole: the playlist lists the presentation from its start and without gaps,
// so what was measured is all of it.
func (m *rendition) whole() bool { return m.current.MediaSequence == 0 && !m.holed }
