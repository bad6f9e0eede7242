package playlist

import (
	"fmt"
	"strings"
	"testing"

	"weir/check/report"
)

// read reads a playlist and checks it by itself.
func read(text string) (*Playlist, *report.Report) {
	var r report.Report
	p := Parse("https://example.com/p.m3u8?token=abc", text, map[string]string{"parent": "value"}, &r)
	if p.Multivariant {
		p.CheckMultivariant(&r)
	} else {
		p.CheckMedia(&r)
	}
	return p, &r
}

// show is a VOD of three segments of 2 s: what is told of it is told because
// of head, in front of the segments, or tail, in place of the end.
func show(version int, head, tail string) string {
	return fmt.Sprintf("#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n%s#EXTINF:2.000,\n0.ts\n#EXTINF:2.000,\n1.ts\n#EXTINF:2.000,\n2.ts\n%s#EXT-X-ENDLIST\n", version, head, tail)
}

// live is a live playlist from number 7 of segments of 2 s.
func live(segments int, head string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n%s#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z\n", head)
	for i := range segments {
		fmt.Fprintf(&b, "#EXTINF:2.000,\n%d.ts\n", 7+i)
	}
	return b.String()
}

// variants is a multivariant playlist of one variant and more.
func variants(attributes, more string) string {
	return "#EXTM3U\n#EXT-X-VERSION:13\n" + more + "#EXT-X-STREAM-INF:BANDWIDTH=1000,AVERAGE-BANDWIDTH=900,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000" + attributes + "\nv.m3u8\n"
}

// TestSound: what the cases below begin with breaks nothing.
func TestSound(t *testing.T) {
	for name, text := range map[string]string{"a show": show(3, "", ""), "a live show": live(6, ""), "variants": strings.Replace(variants("", ""), "VERSION:13", "VERSION:4", 1)} {
		if _, r := read(text); len(r.Counts) > 0 {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
}

// TestBoundaries: each rule on both sides of its boundary, as near as may be.
func TestBoundaries(t *testing.T) {
	key := func(attributes string) string { return show(5, "#EXT-X-KEY:"+attributes+"\n", "") }
	gone := func(s, old, with string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in the text", old)
		}
		return strings.Replace(s, old, with, 1)
	}
	parts := func(head, durations string) string {
		var b strings.Builder
		b.WriteString(live(5, "#EXT-X-PART-INF:PART-TARGET=0.500\n"+head))
		for i, d := range strings.Fields(durations) {
			fmt.Fprintf(&b, "#EXT-X-PART:URI=\"12.%d.ts\",DURATION=%s\n", i, d)
		}
		return b.String() + "#EXTINF:2.000,\n12.ts\n"
	}
	const control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.500"
	ranged := func(attributes string) string { return live(6, "#EXT-X-DATERANGE:"+attributes+"\n") }
	media := func(attributes, variant string) string {
		return variants(variant, "#EXT-X-MEDIA:"+attributes+"\n")
	}
	audio := `TYPE=AUDIO,GROUP-ID="a",NAME="x",LANGUAGE="en",CHANNELS="2"`
	for _, c := range []struct{ rule, broken, kept string }{
		// The text.
		{"M3U-HEADER", "\n" + show(3, "", ""), show(3, "", "")},
		{"M3U-HEADER", gone(show(3, "", ""), "#EXTM3U", "#EXTM3U8"), gone(show(3, "", ""), "#EXTM3U\n", "#EXTM3U\r\n")},
		{"M3U-KIND", "#EXTM3U\n#EXT-X-VERSION:3\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n"},
		{"M3U-KIND", "#EXTM3U\n#EXT-X-UNKNOWN\n", "#EXTM3U\na.ts\n"},
		{"M3U-MIXED", gone(variants("", ""), "v.m3u8", "v.m3u8\n#EXT-X-GAP"), gone(variants("", ""), "v.m3u8", "v.m3u8\n#EXT-X-INDEPENDENT-SEGMENTS")},
		{"M3U-ONCE", show(3, "#EXT-X-TARGETDURATION:2\n", ""), show(3, "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n", "")},
		{"M3U-ONCE", show(3, "#EXT-X-VERSION:3\n", ""), show(3, "#EXT-X-MINE\n#EXT-X-MINE\n", "")},
		{"M3U-TAG-VALUE", show(3, "#EXT-X-GAP:YES\n", ""), show(8, "#EXT-X-GAP\n", "")},
		{"M3U-TAG-VALUE", gone(show(3, "", ""), "TYPE:VOD", "TYPE:LIVE"), gone(show(3, "", ""), "TYPE:VOD", "TYPE:EVENT")},
		{"M3U-TAG-VALUE", show(3, "#EXT-X-BITRATE:1.5\n", ""), show(3, "#EXT-X-BITRATE:15\n", "")},
		{"M3U-TAG-VALUE", gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:-2"), gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:2.")},
		{"M3U-TAG-VALUE", gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:1e0"), gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:.9")},
		{"M3U-TAG-VALUE", gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:1000000001"), gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:1000000000")},
		{"M3U-ATTRIBUTE-TWICE", key(`METHOD=NONE,METHOD=NONE`), key("METHOD=NONE")},
		{"M3U-ATTRIBUTE-MISSING", show(5, "#EXT-X-START:PRECISE=YES\n", ""), show(5, "#EXT-X-START:TIME-OFFSET=1\n", "")},
		{"M3U-ATTRIBUTE-VALUE", show(5, "#EXT-X-START:TIME-OFFSET=\"1\"\n", ""), show(5, "#EXT-X-START:TIME-OFFSET=-1\n", "")},
		{"M3U-ATTRIBUTE-VALUE", key("METHOD=ROT13"), key("METHOD=NONE")},
		{"M3U-VARIABLE", show(8, "#EXT-X-DEFINE:IMPORT=\"none\"\n", ""), show(8, "#EXT-X-DEFINE:IMPORT=\"parent\"\n", "")},
		{"M3U-VARIABLE", show(11, "#EXT-X-DEFINE:QUERYPARAM=\"none\"\n", ""), show(11, "#EXT-X-DEFINE:QUERYPARAM=\"token\"\n", "")},
		{"M3U-VARIABLE", show(8, "#EXT-X-DEFINE:NAME=\"a\"\n", ""), show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"\"\n", "")},
		{"M3U-VARIABLE", show(8, "#EXT-X-DEFINE:NAME=\"a b\",VALUE=\"\"\n", ""), show(8, "#EXT-X-DEFINE:NAME=\"a_b\",VALUE=\"\"\n", "")},
		{"M3U-VARIABLE", show(8, "#EXT-X-DEFINE:VALUE=\"1\"\n", ""), show(3, "", "")},
		{"M3U-VARIABLE", gone(show(8, "", "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n"), "0.ts", "{$a}.ts"), gone(show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n", ""), "0.ts", "{$a}.ts")}, // before its use
		{"M3U-LIMIT", show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\""+strings.Repeat("x", maxExpanded)+"\"\n", "") + "#EXTINF:1,\n{$a}x{$a}\n", show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\""+strings.Repeat("x", maxExpanded)+"\"\n", "") + "#EXTINF:1,\n{$a}\n"},
		{"M3U-LIMIT", show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\""+strings.Repeat("x", maxInserted/16)+"\"\n", strings.Repeat("#EXTINF:1,\n{$a}\n", 17)), show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\""+strings.Repeat("x", maxInserted/16)+"\"\n", strings.Repeat("#EXTINF:1,\n{$a}\n", 16))},
		{"M3U-LIMIT", live(6, strings.Repeat("#EXT-X-DATERANGE:"+strings.Repeat("A=1,", 199)+"A=1\n", maxKept/200+1)), live(6, strings.Repeat("#EXT-X-DATERANGE:"+strings.Repeat("A=1,", 199)+"A=1\n", maxKept/200))},
		{"M3U-LIMIT", show(8, defines(MaxVariables+1), ""), show(8, defines(MaxVariables), "")},

		// Versions [RFC 8216bis 8].
		{"M3U-VERSION-LOW", show(2, "", ""), show(3, "", "")},
		{"M3U-VERSION-LOW", show(3, "#EXT-X-BYTERANGE:1@0\n", ""), show(4, "#EXT-X-BYTERANGE:1@0\n", "")},
		{"M3U-VERSION-LOW", show(3, "#EXT-X-I-FRAMES-ONLY\n", ""), show(4, "#EXT-X-I-FRAMES-ONLY\n", "")},
		{"M3U-VERSION-LOW", show(4, "#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"i\"\n", ""), show(5, "#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"i\"\n", "")},
		{"M3U-VERSION-LOW", show(5, "#EXT-X-MAP:URI=\"i\"\n", ""), show(6, "#EXT-X-MAP:URI=\"i\"\n", "")},
		{"M3U-VERSION-LOW", show(4, "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n", ""), show(5, "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n", "")},
		{"M3U-VERSION-LOW", show(4, "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"x\"\n", ""), show(5, "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"x\"\n", "")},
		{"M3U-VERSION-LOW", show(7, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n", ""), show(8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n", "")},
		{"M3U-VERSION-LOW", show(10, "#EXT-X-DEFINE:QUERYPARAM=\"token\"\n", ""), show(11, "#EXT-X-DEFINE:QUERYPARAM=\"token\"\n", "")},
		{"M3U-VERSION-LOW", gone(live(6, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"), "VERSION:6", "VERSION:8"), gone(live(6, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"), "VERSION:6", "VERSION:9")},
		{"M3U-VERSION-LOW", gone(variants(",REQ-VIDEO-LAYOUT=\"CH-STEREO\"", ""), "VERSION:13", "VERSION:11"), gone(variants(",REQ-VIDEO-LAYOUT=\"CH-STEREO\"", ""), "VERSION:13", "VERSION:12")},
		{"M3U-VERSION-LOW", gone(media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="SERVICE1",LANGUAGE="en"`, ""), "VERSION:13", "VERSION:6"), gone(media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="SERVICE1",LANGUAGE="en"`, ""), "VERSION:13", "VERSION:7")},
		{"M3U-VERSION-HIGH", show(7, "", ""), show(6, "", "")},
		{"M3U-VERSION-HIGH", show(9, "#EXT-X-GAP\n", ""), show(8, "#EXT-X-GAP\n", "")},
		{"M3U-GAP-VERSION", show(7, "#EXT-X-GAP\n", ""), show(8, "#EXT-X-GAP\n", "")},

		// Segments.
		{"M3U-TARGETDURATION", gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:2.500"), gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:2.49999")},
		{"M3U-TARGETDURATION-LONG", gone(show(3, "", ""), "DURATION:2", "DURATION:11"), gone(show(3, "", ""), "DURATION:2", "DURATION:10")},
		{"M3U-TARGETDURATION-ZERO", gone(show(3, "", ""), "DURATION:2", "DURATION:0"), gone(show(3, "", ""), "DURATION:2", "DURATION:1")},
		{"M3U-EXTINF-ZERO", gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:0.0000"), gone(show(3, "", ""), "EXTINF:2.000", "EXTINF:0.0001")},
		{"M3U-EXTINF-DANGLING", show(3, "#EXTINF:2.000,\n", ""), show(3, "#EXTINF:2.000,\nx.ts\n", "")},
		{"M3U-EXTINF-DANGLING", show(3, "", "#EXTINF:2.000,\n"), show(3, "", "")},
		{"M3U-EXTINF-COMMA", gone(show(3, "", ""), "EXTINF:2.000,", "EXTINF:2.000"), gone(show(3, "", ""), "EXTINF:2.000,", "EXTINF:2.000,a title, with commas")},
		{"M3U-EXTINF-INTEGER", strings.ReplaceAll(show(3, "", ""), "2.000", "2"), gone(show(3, "", ""), "2.000", "2")},
		{"M3U-EXTINF-INTEGER", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXTINF:2,\nb.ts\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n"}, // one may be of whole seconds
		{"M3U-BYTERANGE", show(4, "#EXT-X-BYTERANGE:5\n", ""), show(4, "#EXT-X-BYTERANGE:5@0\n", "")},
		{"M3U-BYTERANGE", show(4, "#EXT-X-BYTERANGE:5@0\n#EXTINF:1.0,\nx.ts\n#EXT-X-BYTERANGE:5\n", ""), show(4, "#EXT-X-BYTERANGE:5@0\n#EXTINF:1.0,\n0.ts\n#EXT-X-BYTERANGE:5\n", "")}, // of another resource
		{"M3U-KEY", key("METHOD=SAMPLE-AES-CTR,URI=\"k\",IV=0x1"), key("METHOD=SAMPLE-AES-CTR,URI=\"k\"")},
		{"M3U-KEY", key("METHOD=SAMPLE-AES"), key("METHOD=SAMPLE-AES,URI=\"k\"")},
		{"M3U-SEQUENCE-PLACE", show(3, "", "#EXT-X-MEDIA-SEQUENCE:0\n"), show(3, "#EXT-X-MEDIA-SEQUENCE:0\n", "")},
		{"M3U-SEQUENCE-PLACE", show(3, "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n", ""), show(3, "#EXT-X-DISCONTINUITY\n#EXT-X-MEDIA-SEQUENCE:0\n", "")},
		{"M3U-DISCONTINUITY-FIRST", show(3, "#EXT-X-DISCONTINUITY\n", ""), live(6, "#EXT-X-DISCONTINUITY\n")},
		{"M3U-DISCONTINUITY-FIRST", show(3, "#EXT-X-DISCONTINUITY\n", ""), show(3, "#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-DISCONTINUITY\n", "")}, // something was before
		{"M3U-TYPE-SLID", show(3, "#EXT-X-MEDIA-SEQUENCE:1\n", ""), show(3, "#EXT-X-MEDIA-SEQUENCE:0\n", "")},
		{"M3U-VOD-ENDLIST", gone(show(3, "", ""), "#EXT-X-ENDLIST\n", ""), gone(gone(show(3, "", ""), "#EXT-X-ENDLIST\n", ""), "VOD", "EVENT")},
		{"M3U-LIVE-SHORT", live(5, ""), live(6, "")},
		{"M3U-LIVE-SHORT", live(1, ""), gone(live(1, ""), "SEQUENCE:7", "SEQUENCE:0")}, // it has just begun
		{"M3U-LIVE-SHORT", live(5, ""), live(5, "") + "#EXT-X-ENDLIST\n"},
		{"M3U-PDT-BACK", live(6, "") + "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:10.999Z\n#EXTINF:2.000,\nx.ts\n", live(6, "") + "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:11.000Z\n#EXTINF:2.000,\nx.ts\n"},
		{"M3U-PDT-JUMP", live(6, "") + "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:13.001Z\n#EXTINF:2.000,\nx.ts\n", live(6, "") + "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:13.000Z\n#EXTINF:2.000,\nx.ts\n"},
		{"M3U-PDT-JUMP", live(6, "") + "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:15.000Z\n#EXTINF:2.000,\nx.ts\n", live(6, "") + "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:15.000Z\n#EXTINF:2.000,\nx.ts\n"},
		{"M3U-PDT-DISCONTINUITY", live(6, "") + "#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\nx.ts\n", live(6, "") + "#EXTINF:2.000,\nx.ts\n"},
		{"M3U-START", show(3, "#EXT-X-START:TIME-OFFSET=6.001\n", ""), show(3, "#EXT-X-START:TIME-OFFSET=6\n", "")},
		{"M3U-START", show(3, "#EXT-X-START:TIME-OFFSET=-6.001\n", ""), show(3, "#EXT-X-START:TIME-OFFSET=-6\n", "")},
		{"M3U-START", live(6, "#EXT-X-START:TIME-OFFSET=-5.999\n"), live(6, "#EXT-X-START:TIME-OFFSET=-6\n")},
		{"M3U-START", live(6, "#EXT-X-START:TIME-OFFSET=6.001\n"), live(6, "#EXT-X-START:TIME-OFFSET=6\n")},
		{"M3U-URI-TWICE", show(3, "", "#EXTINF:2.000,\n2.ts\n"), show(3, "", "#EXTINF:2.000,\n2.ts?x\n")},
		{"M3U-URI-TWICE", show(3, "", "#EXTINF:2.000,\n2.ts\n"), show(8, "", "#EXT-X-GAP\n#EXTINF:2.000,\n2.ts\n")},
		{"M3U-MAP", show(3, "#EXTINF:2.000,\nx.m4s\n", ""), show(6, "#EXT-X-MAP:URI=\"i\"\n#EXTINF:2.000,\nx.m4s\n", "")},

		// EXT-X-DATERANGE [RFC 8216bis 4.4.5.1].
		{"M3U-DATERANGE", ranged(`ID="a",START-DATE="2026-11-21T10:00:01Z",END-DATE="2026-11-21T10:00:00Z"`), ranged(`ID="a",START-DATE="2026-11-21T10:00:00Z",END-DATE="2026-11-21T10:00:00Z"`)},
		{"M3U-DATERANGE", ranged(`ID="a",START-DATE="2026-11-21T10:00:00Z",END-DATE="2026-11-21T10:00:02Z",DURATION=2.001`), ranged(`ID="a",START-DATE="2026-11-21T10:00:00Z",END-DATE="2026-11-21T10:00:02Z",DURATION=2.0004`)},
		{"M3U-DATERANGE", ranged(`ID="a",CLASS="c",START-DATE="2026-11-21T10:00:00Z",END-ON-NEXT=YES,DURATION=1`), ranged(`ID="a",CLASS="c",START-DATE="2026-11-21T10:00:00Z",DURATION=1`)},
		{"M3U-DATERANGE", ranged(`ID="a",START-DATE="2026-11-21T10:00:00Z",CUE="PRE,POST"`), ranged(`ID="a",START-DATE="2026-11-21T10:00:00Z",CUE="PRE,ONCE"`)},
		{"M3U-DATERANGE", ranged("ID=\"a\",START-DATE=\"2026-11-21T10:00:00Z\"\n#EXT-X-DATERANGE:ID=\"b\""), ranged("ID=\"a\",START-DATE=\"2026-11-21T10:00:00Z\"\n#EXT-X-DATERANGE:ID=\"a\"")},

		// Low latency.
		{"LL-PART-LONG", parts(control+"\n", "0.5006"), parts(control+"\n", "0.5004 0.500 0.500 0.500")},
		{"LL-PART-SHORT", parts(control+"\n", "0.424 0.500 0.500 0.500"), parts(control+"\n", "0.425 0.500 0.500 0.500")},
		{"LL-PART-SHORT", parts(control+"\n", "0.100 0.500 0.500 0.500"), parts(control+"\n", "0.500 0.500 0.500 0.100")}, // the last one may be
		{"LL-PART-SUM", parts(control+"\n", "0.500 0.500 0.500 0.399"), parts(control+"\n", "0.500 0.500 0.500 0.401")},
		{"LL-PART-HOLD-BACK", parts("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.999\n", ""), parts("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.000\n", "")},
		{"LL-PART-HOLD-BACK-SHORT", parts("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.499\n", ""), parts(control+"\n", "")},
		{"LL-HOLD-BACK", parts(control+",HOLD-BACK=5.999\n", ""), parts(control+",HOLD-BACK=6\n", "")},
		{"LL-SKIP", parts(control+",CAN-SKIP-UNTIL=11.999\n", ""), parts(control+",CAN-SKIP-UNTIL=12\n", "")},
		{"LL-BLOCK", parts("#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1.500\n", ""), parts("#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1.500\n", "") + "#EXT-X-ENDLIST\n"},
		{"LL-PART-TAGS", live(6, "#EXT-X-PART-INF:PART-TARGET=0.500\n"+control+"\n") + "#EXT-X-PART:URI=\"a\",DURATION=0.5\n#EXT-X-MAP:URI=\"i\"\n", live(6, "#EXT-X-PART-INF:PART-TARGET=0.500\n"+control+"\n") + "#EXT-X-MAP:URI=\"i\"\n#EXT-X-PART:URI=\"a\",DURATION=0.5\n"},

		// Multivariant playlists.
		{"MVP-URI", gone(variants("", ""), "v.m3u8\n", ""), variants("", "")},
		{"MVP-URI", variants("", "") + "w.m3u8\n", variants("", "")},
		{"MVP-URI", variants("", "#EXT-X-STREAM-INF:BANDWIDTH=1\n"), variants("", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n")},
		{"MVP-AVERAGE-ABOVE", gone(variants("", ""), "AVERAGE-BANDWIDTH=900", "AVERAGE-BANDWIDTH=1001"), gone(variants("", ""), "AVERAGE-BANDWIDTH=900", "AVERAGE-BANDWIDTH=1000")},
		{"MVP-RESOLUTION", gone(variants("", ""), ",RESOLUTION=1280x720", ""), gone(gone(variants("", ""), ",RESOLUTION=1280x720", ""), "avc1.64001f,", "")}, // sound has none
		{"MVP-FRAME-RATE", gone(variants("", ""), ",FRAME-RATE=30.000", ""), variants("", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n")},
		{"MVP-GROUP", variants(",AUDIO=\"a\"", ""), media(audio, ",AUDIO=\"a\"")},
		{"MVP-GROUP", media(audio, ",SUBTITLES=\"a\""), media(audio, "")}, // of another type
		{"MVP-GROUP", variants(",CLOSED-CAPTIONS=\"c\"", ""), variants(",CLOSED-CAPTIONS=NONE", "")},
		{"MVP-GROUP-NAME", media(audio+"\n#EXT-X-MEDIA:"+audio, ""), media(audio+"\n#EXT-X-MEDIA:"+gone(audio, "\"x\"", "\"y\""), "")},
		{"MVP-GROUP-DEFAULT", media(audio+",DEFAULT=YES\n#EXT-X-MEDIA:"+gone(audio, "\"x\"", "\"y\"")+",DEFAULT=YES", ""), media(audio+",DEFAULT=YES\n#EXT-X-MEDIA:"+gone(audio, "\"x\"", "\"y\"")+",DEFAULT=NO", "")},
		{"MVP-GROUP-MEMBERS", media(audio+"\n#EXT-X-MEDIA:"+gone(gone(audio, "\"a\"", "\"b\""), "\"x\"", "\"y\""), ""), media(audio+"\n#EXT-X-MEDIA:"+gone(audio, "\"a\"", "\"b\""), "")},
		{"MVP-AUTOSELECT", media(audio+",DEFAULT=YES,AUTOSELECT=NO", ""), media(audio+",DEFAULT=NO,AUTOSELECT=NO", "")},
		{"MVP-MEDIA-URI", media(`TYPE=SUBTITLES,GROUP-ID="s",NAME="s",LANGUAGE="en"`, ""), media(`TYPE=SUBTITLES,GROUP-ID="s",NAME="s",LANGUAGE="en",URI="s.m3u8"`, "")},
		{"MVP-MEDIA-URI", media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="CC1",LANGUAGE="en",URI="x"`, ""), media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="CC1",LANGUAGE="en"`, "")},
		{"MVP-INSTREAM-ID", media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="CC5",LANGUAGE="en"`, ""), media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="CC4",LANGUAGE="en"`, "")},
		{"MVP-INSTREAM-ID", media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="SERVICE64",LANGUAGE="en"`, ""), media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="c",INSTREAM-ID="SERVICE63",LANGUAGE="en"`, "")},
		{"MVP-MEDIA-ONLY", media(audio+",FORCED=YES", ""), media(audio+",SAMPLE-RATE=48000,BIT-DEPTH=16", "")},
		{"MVP-LANGUAGE", media(gone(audio, `,LANGUAGE="en"`, ""), ""), media(`TYPE=VIDEO,GROUP-ID="v",NAME="v"`, "")},
		{"MVP-CHANNELS", media(gone(audio, `,CHANNELS="2"`, ""), ""), media(audio, "")},
		{"MVP-CAPTIONS-NONE", variants(",CLOSED-CAPTIONS=NONE", "") + "#EXT-X-STREAM-INF:BANDWIDTH=1\nw.m3u8\n", variants(",CLOSED-CAPTIONS=NONE", "") + "#EXT-X-STREAM-INF:BANDWIDTH=1,CLOSED-CAPTIONS=NONE\nw.m3u8\n"},
		{"MVP-SCORE", variants(",SCORE=1", "") + "#EXT-X-STREAM-INF:BANDWIDTH=1\nw.m3u8\n", variants(",SCORE=1", "") + "#EXT-X-STREAM-INF:BANDWIDTH=1,SCORE=2\nw.m3u8\n"},
		{"MVP-SESSION-DATA", variants("", `#EXT-X-SESSION-DATA:DATA-ID="d",VALUE="v",URI="u"`+"\n"), variants("", `#EXT-X-SESSION-DATA:DATA-ID="d",VALUE="v"`+"\n")},
		{"MVP-SESSION-DATA", variants("", strings.Repeat(`#EXT-X-SESSION-DATA:DATA-ID="d",VALUE="v",LANGUAGE="en"`+"\n", 2)), variants("", `#EXT-X-SESSION-DATA:DATA-ID="d",VALUE="v",LANGUAGE="en"`+"\n"+`#EXT-X-SESSION-DATA:DATA-ID="d",VALUE="v",LANGUAGE="de"`+"\n")},
		{"MVP-SESSION-KEY", variants("", "#EXT-X-SESSION-KEY:METHOD=NONE\n"), variants("", "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n")},
		{"MVP-STEERING", variants(",PATHWAY-ID=\"b\"", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\"a\"\n"), variants(",PATHWAY-ID=\"a\"", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\"a\"\n")},
		{"MVP-STEERING", variants(",PATHWAY-ID=\"b\"", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\".\"\n"), variants("", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\".\"\n")}, // the default
	} {
		if _, r := read(c.broken); !r.Has(c.rule) {
			t.Errorf("%s is not found, but %v, in:\n%s", c.rule, r.Findings, report.Clip(c.broken, 1000))
		}
		if _, r := read(c.kept); r.Has(c.rule) {
			t.Errorf("%s is found: %v, in:\n%s", c.rule, r.Findings, report.Clip(c.kept, 1000))
		}
	}
}

// defines are n definitions of variables.
func defines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "#EXT-X-DEFINE:NAME=\"v%d\",VALUE=\"\"\n", i)
	}
	return b.String()
}

// TestParse: what a media playlist says of its segments.
func TestParse(t *testing.T) {
	p, r := read(`#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:5
#EXT-X-DEFINE:QUERYPARAM="token"
#EXT-X-SKIP:SKIPPED-SEGMENTS=3
#EXT-X-KEY:METHOD=AES-128,URI="k"
#EXT-X-MAP:URI="init",BYTERANGE="10@20"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z
#EXTINF:3.5,a title
a?{$token}
#EXT-X-DISCONTINUITY
#EXT-X-KEY:METHOD=NONE
#EXT-X-BYTERANGE:100@200
#EXTINF:4,
b
#EXT-X-BYTERANGE:50
#EXT-X-BITRATE:1234
#EXTINF:4,
b
#EXT-X-GAP
#EXTINF:1.25,
c
`)
	if p.Target != 4 || !p.HasTarget || p.MediaSequence != 100 || p.First() != 103 || p.End() != 107 || p.Ended || p.Multivariant || !p.Media || !p.Live() || !p.Dated() {
		t.Errorf("the playlist is %+v", p)
	}
	if got := p.Seconds(); got != 12.75 {
		t.Errorf("it lasts %g s, want 12.75", got)
	}
	if len(p.Segments) != 4 {
		t.Fatalf("%d segments, %v", len(p.Segments), r.Findings)
	}
	a, b, b2, c := p.Segments[0], p.Segments[1], p.Segments[2], p.Segments[3]
	if a.Sequence != 103 || a.URI != "a?abc" || a.Duration != 3.5 || a.Discontinuities != 5 || !a.Encrypted || a.Init == nil || a.Init.URI != "init" || a.Init.Offset != 20 || a.Init.Length != 10 || a.Date.Hour() != 10 || a.HasRange {
		t.Errorf("the first segment is %+v", a)
	}
	if !b.Discontinuity || b.Discontinuities != 6 || b.Encrypted || !b.HasRange || b.Offset != 200 || b.Length != 100 || !b.Date.IsZero() || b.Bitrate != 0 {
		t.Errorf("the second segment is %+v", b)
	}
	if b2.Offset != 300 || b2.Length != 50 || b2.Bitrate != 1234 || b2.Discontinuity || b2.Discontinuities != 6 {
		t.Errorf("a range without offset goes on behind the one before: %+v", b2)
	}
	if !c.Gap || c.Sequence != 106 || c.Bitrate != 1234 || c.HasRange { // EXT-X-BITRATE holds on
		t.Errorf("the last segment is %+v", c)
	}
	for sequence, want := range map[uint64]*Segment{102: nil, 103: &p.Segments[0], 106: &p.Segments[3], 107: nil, 0: nil} {
		if got := p.At(sequence); got != want {
			t.Errorf("number %d is %v", sequence, got)
		}
	}
}

// TestParseVariants: what a multivariant playlist says.
func TestParseVariants(t *testing.T) {
	p, r := read(variants(",AUDIO=\"a\"", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-DEFINE:NAME=\"dir\",VALUE=\"sub\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",LANGUAGE=\"en\",CHANNELS=\"2\",URI=\"{$dir}/a.m3u8\"\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,URI=\"i.m3u8\"\n"))
	if !p.Multivariant || p.Media || !p.Independent || len(p.Variants) != 2 || len(p.Renditions) != 1 || p.Variables["dir"] != "sub" {
		t.Fatalf("%+v, %v", p, r.Findings)
	}
	if v := p.Variants[0]; !v.IFrames || v.URI != "i.m3u8" || v.Number("BANDWIDTH") != 5 {
		t.Errorf("the I-frame variant is %+v", v)
	}
	if v := p.Variants[1]; v.IFrames || v.URI != "v.m3u8" || v.Value("AUDIO") != "a" || v.Number("FRAME-RATE") != 30 {
		t.Errorf("the variant is %+v", v)
	}
	if uri := p.Renditions[0].Value("URI"); uri != "sub/a.m3u8" {
		t.Errorf("the rendition's URI is %q", uri)
	}
}

// TestSequenceWraps: no sum of a hostile playlist's numbers panics.
func TestSequenceWraps(t *testing.T) {
	p, _ := read("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXT-X-BYTERANGE:999999999999999999@999999999999999999\n#EXTINF:2,\na\n#EXT-X-BYTERANGE:999999999999999999\n#EXTINF:2,\na\n")
	if len(p.Segments) != 2 || p.Segments[1].Sequence != 0 || p.Segments[1].Offset < 0 {
		t.Errorf("%+v", p.Segments)
	}
}
