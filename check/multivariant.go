package check

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// checkMultivariant checks a multivariant playlist by itself.
func (p *playlist) checkMultivariant(r *Report) {
	fail := func(rule string, line int, format string, args ...any) { r.add(rule, p.uri, line, format, args...) }
	groups := p.checkRenditions(fail)
	for i := range p.variants {
		p.variants[i].check(groups, fail)
	}
	p.checkAllOrNone(fail)
	p.checkSessions(fail)
	if p.steering != nil {
		p.checkSteering(fail)
	}
}

// check checks one variant [RFC 8216bis 4.4.6.2].
func (v *variant) check(groups map[string][]tagged, fail fail) {
	codecs, has := v.get("CODECS")
	if !has {
		fail("MVP-CODECS", v.line, "CODECS is missing")
	}
	for _, c := range splitCodecs(codecs) {
		if !isCodec(c) {
			fail("MVP-CODECS-FORM", v.line, "%q is no format of RFC 6381", clip(c, 40))
		}
	}
	if video := !has || hasVideo(codecs); video {
		if _, ok := v.get("RESOLUTION"); !ok {
			fail("MVP-RESOLUTION", v.line, "RESOLUTION is missing")
		}
		if _, ok := v.get("FRAME-RATE"); !ok && !v.iFrames {
			fail("MVP-FRAME-RATE", v.line, "FRAME-RATE is missing")
		}
	}
	if _, ok := v.get("AVERAGE-BANDWIDTH"); !ok {
		fail("MVP-AVERAGE-BANDWIDTH", v.line, "AVERAGE-BANDWIDTH is missing")
	} else if v.number("AVERAGE-BANDWIDTH") > v.number("BANDWIDTH") {
		fail("MVP-AVERAGE-ABOVE", v.line, "AVERAGE-BANDWIDTH is %s, BANDWIDTH %s", clip(v.value("AVERAGE-BANDWIDTH"), 20), clip(v.value("BANDWIDTH"), 20))
	}
	for _, kind := range []string{"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"} {
		id, ok := v.get(kind)
		if ok && len(groups[kind+" "+id]) == 0 && !(kind == "CLOSED-CAPTIONS" && id == "NONE") {
			fail("MVP-GROUP", v.line, "no EXT-X-MEDIA of TYPE=%s has GROUP-ID %s", kind, clip(id, 40))
		}
	}
}

// splitCodecs reads the list of CODECS.
func splitCodecs(s string) (out []string) {
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
	return slices.ContainsFunc(splitCodecs(codecs), func(c string) bool {
		name, _, _ := strings.Cut(c, ".")
		return slices.Contains(videoCodecs, name)
	})
}

// captionChannel: what INSTREAM-ID of closed captions may be.
var captionChannel = regexp.MustCompile(`^(CC[1-4]|SERVICE([1-9]|[1-5][0-9]|6[0-3]))$`)

// checkRenditions checks EXT-X-MEDIA [RFC 8216bis 4.4.6.1] and returns the
// groups by "TYPE GROUP-ID".
func (p *playlist) checkRenditions(fail fail) map[string][]tagged {
	groups := map[string][]tagged{}
	for _, t := range p.renditions {
		kind := t.value("TYPE")
		key := kind + " " + t.value("GROUP-ID")
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
func checkRendition(t tagged, kind string, fail fail) {
	_, hasURI := t.get("URI")
	if kind == "SUBTITLES" && !hasURI || kind == "CLOSED-CAPTIONS" && hasURI {
		fail("MVP-MEDIA-URI", t.line, "TYPE=%s with URI: %v", kind, hasURI)
	}
	if kind == "CLOSED-CAPTIONS" && !captionChannel.MatchString(t.value("INSTREAM-ID")) {
		fail("MVP-INSTREAM-ID", t.line, "INSTREAM-ID is %q", clip(t.value("INSTREAM-ID"), 20))
	}
	for name, only := range map[string]string{"FORCED": "SUBTITLES", "CHANNELS": "AUDIO", "BIT-DEPTH": "AUDIO", "SAMPLE-RATE": "AUDIO"} {
		if _, ok := t.get(name); ok && kind != only {
			fail("MVP-MEDIA-ONLY", t.line, "%s stands in TYPE=%s", name, clip(kind, 20))
		}
	}
	if _, ok := t.get("LANGUAGE"); !ok && kind != "VIDEO" {
		fail("MVP-LANGUAGE", t.line, "LANGUAGE is missing")
	}
	if _, ok := t.get("CHANNELS"); !ok && kind == "AUDIO" {
		fail("MVP-CHANNELS", t.line, "CHANNELS is missing")
	}
	if t.value("DEFAULT") == "YES" && t.value("AUTOSELECT") == "NO" {
		fail("MVP-AUTOSELECT", t.line, "DEFAULT=YES stands with AUTOSELECT=NO")
	}
}

// checkGroup checks the members of one group [RFC 8216bis 4.4.6.1.1].
func checkGroup(members []tagged, fail fail) {
	names := make(map[string]bool, len(members))
	defaults := 0
	for _, t := range members {
		if names[t.value("NAME")] {
			fail("MVP-GROUP-NAME", t.line, "another member is called %q too", clip(t.value("NAME"), 40))
		}
		names[t.value("NAME")] = true
		if t.value("DEFAULT") == "YES" {
			if defaults++; defaults == 2 {
				fail("MVP-GROUP-DEFAULT", t.line, "the group has a second default")
			}
		}
	}
}

// checkGroupMembers: groups of one type have the same names.
func checkGroupMembers(groups map[string][]tagged, fail fail) {
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
			names = append(names, t.value("NAME"))
		}
		sort.Strings(names)
		all := strings.Join(names, ", ")
		if before, ok := first[kind]; ok && before != all {
			fail("MVP-GROUP-MEMBERS", groups[k][0].line, "group %s has %s, another %s", clip(id, 40), clip(all, 80), clip(before, 80))
		} else {
			first[kind] = all
		}
	}
}

// checkAllOrNone: what must stand on every variant, or on none.
func (p *playlist) checkAllOrNone(fail fail) {
	var none, scored, count int
	for i := range p.variants {
		v := &p.variants[i]
		if v.iFrames {
			continue
		}
		count++
		if v.value("CLOSED-CAPTIONS") == "NONE" {
			none++
		}
		if _, ok := v.get("SCORE"); ok {
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
func (p *playlist) checkSessions(fail fail) {
	seen := map[string]bool{}
	for _, t := range p.sessions {
		var key string
		if t.name == "EXT-X-SESSION-DATA" {
			_, hasValue := t.get("VALUE")
			_, hasURI := t.get("URI")
			if hasValue == hasURI {
				fail("MVP-SESSION-DATA", t.line, "VALUE: %v, URI: %v", hasValue, hasURI)
			}
			key = fmt.Sprintf("data %q %q", t.value("DATA-ID"), t.value("LANGUAGE"))
			if seen[key] {
				fail("MVP-SESSION-DATA", t.line, "DATA-ID and LANGUAGE stand there twice")
			}
		} else {
			if t.value("METHOD") == "NONE" {
				fail("MVP-SESSION-KEY", t.line, "METHOD is NONE")
			}
			key = fmt.Sprintf("key %q %q %q %q %q", t.value("METHOD"), t.value("URI"), t.value("IV"), t.value("KEYFORMAT"), t.value("KEYFORMATVERSIONS"))
			if seen[key] {
				fail("MVP-SESSION-KEY", t.line, "the key stands there twice")
			}
		}
		seen[key] = true
	}
}

// checkSteering: EXT-X-CONTENT-STEERING [RFC 8216bis 4.4.6.6].
func (p *playlist) checkSteering(fail fail) {
	id, ok := p.steering.get("PATHWAY-ID")
	if !ok {
		return
	}
	for i := range p.variants {
		pathway, named := p.variants[i].get("PATHWAY-ID")
		if !named {
			pathway = "."
		}
		if pathway == id {
			return
		}
	}
	fail("MVP-STEERING", p.steering.line, "no variant has PATHWAY-ID %s", clip(id, 40))
}
