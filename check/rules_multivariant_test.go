package check

import (
	"strings"

	"weir/check/report"
)

func multivariantCases() []ruleCase {
	inf := func(more string) string { return edit(master, `AUDIO="a"`, `AUDIO="a",`+more) }
	media := func(s string) string { return edit(master, "#EXT-X-STREAM", "#EXT-X-MEDIA:"+s+"\n#EXT-X-STREAM") }
	second := "#EXT-X-STREAM-INF:BANDWIDTH=132400,AVERAGE-BANDWIDTH=131600,CODECS=\"mp4a.40.2\""
	two := func(a, b string) report.Report {
		return files("m.m3u8", master+second+"\nw.m3u8\n", "v.m3u8", a, "w.m3u8", b)
	}
	shifted := func(start int64) report.Report {
		fsys := sound(master+second+"\nw.m3u8\n", vod)
		out := make([]string, 0, 16)
		for name, f := range fsys {
			if name != "m.m3u8" {
				out = append(out, name, string(f.Data))
			}
		}
		m := made{start: start}
		out = append([]string{"m.m3u8", master + second + "\nw.m3u8\n", "w.m3u8", edit(vod, "0.ts", "w0.ts"), "w0.ts", string(m.bytes())}, out...)
		return files(out...)
	}
	iframes := edit(vod, "VERSION:3", "VERSION:4\n#EXT-X-I-FRAMES-ONLY")
	iframeInf := "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=10000,URI=\"w.m3u8\",CODECS=\"avc1.4d401e\"\n"
	return []ruleCase{
		{"MVP-URI", one(edit(master, "\nv.m3u8", "")), one(master)},
		{"MVP-URI", one(master + "w.m3u8\n"), one(master)},
		{"MVP-URI", one(edit(master, "v.m3u8", second+"\nv.m3u8")), one(master + second + "\nw.m3u8\n")},
		{"MVP-NESTED", files("m.m3u8", master, "v.m3u8", master), files("m.m3u8", master, "v.m3u8", vod)},
		{"MVP-CODECS", one(edit(master, `CODECS="avc1.4d401e,mp4a.40.2",`, "")), one(master)},
		{"MVP-CODECS-FORM", one(edit(master, "avc1.4d401e", "avc1.77.30")), one(edit(master, "avc1.4d401e", "hvc1.2.4.L153.b0"))},
		{"MVP-CODECS-FORM", one(edit(master, "mp4a.40.2", "AAC LC")), one(edit(master, "mp4a.40.2", "ac-3"))},
		{"MVP-RESOLUTION", one(edit(master, "RESOLUTION=640x360,", "")), one(edit(master, "RESOLUTION=640x360,", "", "avc1.4d401e,", ""))},
		{"MVP-FRAME-RATE", one(edit(master, "FRAME-RATE=25.000,", "")), one(edit(master, "FRAME-RATE=25.000,", "", "avc1.4d401e,", ""))},
		{"MVP-AVERAGE-BANDWIDTH", one(edit(master, "AVERAGE-BANDWIDTH=131600,", "")), one(master)},
		{"MVP-AVERAGE-ABOVE", one(edit(master, "AVERAGE-BANDWIDTH=131600", "AVERAGE-BANDWIDTH=132401")), one(master)},
		{"MVP-GROUP", one(edit(master, `AUDIO="a"`, `AUDIO="b"`)), one(inf("CLOSED-CAPTIONS=NONE"))},
		{"MVP-GROUP", one(inf(`SUBTITLES="a"`)), one(edit(inf(`SUBTITLES="s"`), "#EXT-X-STREAM", `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="s.m3u8"`+"\n#EXT-X-STREAM"))},
		{"MVP-GROUP-NAME", one(media(`TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",CHANNELS="2"`)), one(media(`TYPE=AUDIO,GROUP-ID="a",NAME="French",LANGUAGE="fr",CHANNELS="2"`))},
		{"MVP-GROUP-DEFAULT", one(media(`TYPE=AUDIO,GROUP-ID="a",NAME="French",LANGUAGE="fr",CHANNELS="2",DEFAULT=YES`)), one(media(`TYPE=SUBTITLES,GROUP-ID="a",NAME="French",LANGUAGE="fr",URI="s",DEFAULT=YES`))},
		{"MVP-GROUP-MEMBERS", one(media(`TYPE=AUDIO,GROUP-ID="b",NAME="French",LANGUAGE="fr",CHANNELS="2"`)), one(media(`TYPE=AUDIO,GROUP-ID="b",NAME="English",LANGUAGE="en",CHANNELS="6"`))},
		{"MVP-AUTOSELECT", one(edit(master, "AUTOSELECT=YES", "AUTOSELECT=NO")), one(edit(master, ",AUTOSELECT=YES", ""))},
		{"MVP-MEDIA-URI", one(media(`TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en"`)), one(media(`TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="s.m3u8"`))},
		{"MVP-INSTREAM-ID", one(media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="E",LANGUAGE="en",INSTREAM-ID="CC5"`)), one(media(`TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="E",LANGUAGE="en",INSTREAM-ID="SERVICE63"`))},
		{"MVP-MEDIA-ONLY", one(edit(master, "DEFAULT=YES", "DEFAULT=YES,FORCED=NO")), one(media(`TYPE=SUBTITLES,GROUP-ID="s",NAME="E",LANGUAGE="en",URI="s.m3u8",FORCED=NO`))},
		{"MVP-LANGUAGE", one(edit(master, `LANGUAGE="en",`, "")), one(media(`TYPE=VIDEO,GROUP-ID="v",NAME="side"`))},
		{"MVP-CHANNELS", one(edit(master, `CHANNELS="2",`, "")), one(media(`TYPE=VIDEO,GROUP-ID="v",NAME="side"`))},
		{"MVP-CAPTIONS-NONE", one(inf("CLOSED-CAPTIONS=NONE") + second + "\nw.m3u8\n"), one(inf("CLOSED-CAPTIONS=NONE") + second + ",CLOSED-CAPTIONS=NONE\nw.m3u8\n")},
		{"MVP-SCORE", one(inf("SCORE=1.0") + second + "\nw.m3u8\n"), one(inf("SCORE=1.0") + second + ",SCORE=2\nw.m3u8\n")},
		{"MVP-INDEPENDENT", files("m.m3u8", master, "v.m3u8", edit(vod, "#EXTINF", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF")), files("m.m3u8", master, "v.m3u8", vod)},
		{"MVP-I-FRAMES", files("m.m3u8", master+iframeInf, "v.m3u8", vod, "w.m3u8", vod), files("m.m3u8", master+iframeInf, "v.m3u8", vod, "w.m3u8", iframes)},
		{"MVP-SESSION-DATA", one(edit(master, "#EXT-X-STREAM", `#EXT-X-SESSION-DATA:DATA-ID="a"`+"\n#EXT-X-STREAM")), one(edit(master, "#EXT-X-STREAM", `#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="b"`+"\n#EXT-X-STREAM"))},
		{"MVP-SESSION-DATA", one(edit(master, "#EXT-X-STREAM", strings.Repeat(`#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="b"`+"\n", 2)+"#EXT-X-STREAM")), one(master)},
		{"MVP-SESSION-KEY", one(edit(master, "#EXT-X-STREAM", "#EXT-X-SESSION-KEY:METHOD=NONE\n#EXT-X-STREAM")), one(edit(master, "#EXT-X-STREAM", `#EXT-X-SESSION-KEY:METHOD=AES-128,URI="k"`+"\n#EXT-X-STREAM"))},
		{"MVP-STEERING", one(edit(master, "#EXT-X-STREAM", `#EXT-X-CONTENT-STEERING:SERVER-URI="s",PATHWAY-ID="x"`+"\n#EXT-X-STREAM")), one(edit(master, "#EXT-X-STREAM", `#EXT-X-CONTENT-STEERING:SERVER-URI="s",PATHWAY-ID="."`+"\n#EXT-X-STREAM"))},
		{"REN-TARGETDURATION", two(vod, edit(vod, "TARGETDURATION:2", "TARGETDURATION:3")), two(vod, vod)},
		{"REN-TYPE", two(vod, edit(vod, "VOD", "EVENT")), two(vod, vod)},
		{"REN-PDT", two(live, edit(live, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z\n", "", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:06.500Z\n", "")), two(live, live)},
		{"REN-DISCONTINUITY", two(vod, edit(vod, "0.ts\n", "0.ts\n#EXT-X-DISCONTINUITY\n")), two(edit(vod, "1.ts\n", "1.ts\n#EXT-X-DISCONTINUITY\n"), edit(vod, "0.ts\n", "0.ts\n#EXT-X-DISCONTINUITY\n"))},
		{"REN-DURATION", two(vod, edit(vod, "#EXTINF:2.000,\n1.ts\n", "", "#EXTINF:2.000,\n2.ts\n", "")), two(vod, edit(vod, "#EXTINF:2.000,\n2.ts\n", ""))},
		{"REN-TIMESTAMP", shifted(2_000_000), shifted(900_000)},
		{"REN-SERVER-CONTROL", two(vod, edit(vod, "#EXTINF", "#EXT-X-SERVER-CONTROL:HOLD-BACK=6\n#EXTINF")),
			two(edit(vod, "#EXTINF", "#EXT-X-SERVER-CONTROL:HOLD-BACK=6,CAN-SKIP-UNTIL=12\n#EXTINF"), edit(vod, "#EXTINF", "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12,HOLD-BACK=6\n#EXTINF"))},
	}
}
