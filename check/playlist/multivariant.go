package playlist

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"weir/check/report"
)

// CheckMultivariant checks a multivariant playlist by itself.
func (p *Playlist) CheckMultivariant(r *report.Report) {
	fail := func(rule string, line int, format string, args ...any) { r.Add(rule, p.URI, line, format, args...) }
	groups := p.checkRenditions(fail)
	for i := range p.Variants {
		p.Variants[i].check(groups, fail)
	}
	p.checkAllOrNone(fail)
	p.checkSessions(fail)
	if p.steering != nil {
		p.checkSteering(fail)
	}
}

// check checks one variant [RFC 8216bis 4.4.6.2].
func (v *Variant) check(groups map[string][]tagged, fail report.LineFunc) {
	codecs, has := v.Get("CODECS")
	if !has {
		fail("MVP-CODECS", v.Line, "CODECS is missing")
	}
	for _, c := range SplitCodecs(codecs) {
		if !isCodec(c) {
			fail("MVP-CODECS-FORM", v.Line, "%q is no format of RFC 6381", report.Clip(c, 40))
		}
	}
	if video := !has || hasVideo(codecs); video {
		if _, ok := v.Get("RESOLUTION"); !ok {
			fail("MVP-RESOLUTION", v.Line, "RESOLUTION is missing")
		}
		if _, ok := v.Get("FRAME-RATE"); !ok && !v.IFrames {
			fail("MVP-FRAME-RATE", v.Line, "FRAME-RATE is missing")
		}
	}
	if _, ok := v.Get("AVERAGE-BANDWIDTH"); !ok {
		fail("MVP-AVERAGE-BANDWIDTH", v.Line, "AVERAGE-BANDWIDTH is missing")
	} else if v.Number("AVERAGE-BANDWIDTH") > v.Number("BANDWIDTH") {
		fail("MVP-AVERAGE-ABOVE", v.Line, "AVERAGE-BANDWIDTH is %s, BANDWIDTH %s", report.Clip(v.Value("AVERAGE-BANDWIDTH"), 20), report.Clip(v.Value("BANDWIDTH"), 20))
	}
	for _, kind := range []string{"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"} {
		id, ok := v.Get(kind)
		if ok && len(groups[kind+" "+id]) == 0 && !(kind == "CLOSED-CAPTIONS" && id == "NONE") {
			fail("MVP-GROUP", v.Line, "no EXT-X-MEDIA of TYPE=%s has GROUP-ID %s", kind, report.Clip(id, 40))
		}
	}
}

// SplitCodecs reads the list of CODECS.
func SplitCodecs(s string) (out []string) {
	for c := range strings.SplitSeq(s, ",") {
		if c = strings.TrimSpace(c); c != "" {
			out = append(out, c)
		}
	}
	return out
}

// videoCodecs are the sample entries of video.
var videoCodecs = []string{"avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe", "av01", "vp09", "mjpg"}

func hasVideo(codecs string) bool {
	return slices.ContainsFunc(SplitCodecs(codecs), func(c string) bool {
		name, _, _ := strings.Cut(c, ".")
		return slices.Contains(videoCodecs, name)
	})
}

// captionChannel: what INSTREAM-ID of closed captions may be.
var captionChannel = regexp.MustCompile(`^(CC[1-4]|SERVICE([1-9]|[1-5][0-9]|6[0-3]))$`)

// checkRenditions checks EXT-X-MEDIA [RFC 8216bis 4.4.6.1] and returns the
// groups by "TYPE GROUP-ID".
func (p *Playlist) checkRenditions(fail report.LineFunc) map[string][]tagged {
	groups := map[string][]tagged{}
	for _, t := range p.Renditions {
		kind := t.Value("TYPE")
		key := kind + " " + t.Value("GROUP-ID")
		groups[key] = append(groups[key], t)
		checkRendition(t, kind, fail)
	}
	for _, members := range groups {
		checkGroup(members, fail)
	}
	checkGroupMembers(groups, fail)
	return groups
}

// checkRendition checks one EXT-X-MEDIA.
func checkRendition(t tagged, kind string, fail report.LineFunc) {
	_, hasURI := t.Get("URI")
	if kind == "SUBTITLES" && !hasURI || kind == "CLOSED-CAPTIONS" && hasURI {
		fail("MVP-MEDIA-URI", t.Line, "TYPE=%s with URI: %v", kind, hasURI)
	}
	if kind == "CLOSED-CAPTIONS" && !captionChannel.MatchString(t.Value("INSTREAM-ID")) {
		fail("MVP-INSTREAM-ID", t.Line, "INSTREAM-ID is %q", report.Clip(t.Value("INSTREAM-ID"), 20))
	}
	for name, only := range map[string]string{"FORCED": "SUBTITLES", "CHANNELS": "AUDIO", "BIT-DEPTH": "AUDIO", "SAMPLE-RATE": "AUDIO"} {
		if _, ok := t.Get(name); ok && kind != only {
			fail("MVP-MEDIA-ONLY", t.Line, "%s stands in TYPE=%s", name, report.Clip(kind, 20))
		}
	}
	if _, ok := t.Get("LANGUAGE"); !ok && kind != "VIDEO" {
		fail("MVP-LANGUAGE", t.Line, "LANGUAGE is missing")
	}
	if _, ok := t.Get("CHANNELS"); !ok && kind == "AUDIO" {
		fail("MVP-CHANNELS", t.Line, "CHANNELS is missing")
	}
	if t.Value("DEFAULT") == "YES" && t.Value("AUTOSELECT") == "NO" {
		fail("MVP-AUTOSELECT", t.Line, "DEFAULT=YES stands with AUTOSELECT=NO")
	}
}

// checkGroup checks the members of one group [RFC 8216bis 4.4.6.1.1].
func checkGroup(members []tagged, fail report.LineFunc) {
	names := make(map[string]bool, len(members))
	defaults := 0
	for _, t := range members {
		if names[t.Value("NAME")] {
			fail("MVP-GROUP-NAME", t.Line, "another member is called %q too", report.Clip(t.Value("NAME"), 40))
		}
		names[t.Value("NAME")] = true
		if t.Value("DEFAULT") == "YES" {
			if defaults++; defaults == 2 {
				fail("MVP-GROUP-DEFAULT", t.Line, "the group has a second default")
			}
		}
	}
}

// checkGroupMembers: groups of one type have the same names.
func checkGroupMembers(groups map[string][]tagged, fail report.LineFunc) {
	keys := make([]string, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	first := map[string]string{}
	for _, k := range keys {
		kind, id, _ := strings.Cut(k, " ")
		var names []string
		for _, t := range groups[k] {
			names = append(names, t.Value("NAME"))
		}
		sort.Strings(names)
		all := strings.Join(names, ", ")
		if before, ok := first[kind]; ok && before != all {
			fail("MVP-GROUP-MEMBERS", groups[k][0].Line, "group %s has %s, another %s", report.Clip(id, 40), report.Clip(all, 80), report.Clip(before, 80))
		} else {
			first[kind] = all
		}
	}
}

// checkAllOrNone: what must stand on every variant, or on none.
func (p *Playlist) checkAllOrNone(fail report.LineFunc) {
	var none, scored, count int
	for i := range p.Variants {
		v := &p.Variants[i]
		if v.IFrames {
			continue
		}
		count++
		if v.Value("CLOSED-CAPTIONS") == "NONE" {
			none++
		}
		if _, ok := v.Get("SCORE"); ok {
			scored++
		}
	}
	if none > 0 && none < count {
		fail("MVP-CAPTIONS-NONE", 0, "%d of %d variants say CLOSED-CAPTIONS=NONE", none, count)
	}
	if scored > 0 && scored < count {
		fail("MVP-SCORE", 0, "%d of %d variants have SCORE", scored, count)
	}
}

// checkSessions: EXT-X-SESSION-DATA and EXT-X-SESSION-KEY [RFC 8216bis
// 4.4.6.4, 4.4.6.5].
func (p *Playlist) checkSessions(fail report.LineFunc) {
	seen := map[string]bool{}
	for _, t := range p.sessions {
		var key string
		if t.name == "EXT-X-SESSION-DATA" {
			_, hasValue := t.Get("VALUE")
			_, hasURI := t.Get("URI")
			if hasValue == hasURI {
				fail("MVP-SESSION-DATA", t.Line, "VALUE: %v, URI: %v", hasValue, hasURI)
			}
			key = fmt.Sprintf("data %q %q", t.Value("DATA-ID"), t.Value("LANGUAGE"))
			if seen[key] {
				fail("MVP-SESSION-DATA", t.Line, "DATA-ID and LANGUAGE stand there twice")
			}
		} else {
			if t.Value("METHOD") == "NONE" {
				fail("MVP-SESSION-KEY", t.Line, "METHOD is NONE")
			}
			key = fmt.Sprintf("key %q %q %q %q %q", t.Value("METHOD"), t.Value("URI"), t.Value("IV"), t.Value("KEYFORMAT"), t.Value("KEYFORMATVERSIONS"))
			if seen[key] {
				fail("MVP-SESSION-KEY", t.Line, "the key stands there twice")
			}
		}
		seen[key] = true
	}
}

// checkSteering: EXT-X-CONTENT-STEERING [RFC 8216bis 4.4.6.6].
func (p *Playlist) checkSteering(fail report.LineFunc) {
	id, ok := p.steering.Get("PATHWAY-ID")
	if !ok {
		return
	}
	for i := range p.Variants {
		pathway, named := p.Variants[i].Get("PATHWAY-ID")
		if !named {
			pathway = "."
		}
		if pathway == id {
			return
		}
	}
	fail("MVP-STEERING", p.steering.Line, "no variant has PATHWAY-ID %s", report.Clip(id, 40))
}
