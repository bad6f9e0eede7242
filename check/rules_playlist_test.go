package check

import (
	"strings"

	"weir/check/playlist"
	"weir/check/report"
)

func playlistCases() []ruleCase {
	return []ruleCase{
		{"M3U-HEADER", one("\n" + vod), one(vod)},
		{"M3U-HEADER", one(edit(vod, "#EXTM3U\n", "")), one(edit(vod, "#EXTM3U\n", "#EXTM3U\n# a comment\n\n"))},
		{"M3U-HEADER", one("<html>not found</html>"), one(strings.ReplaceAll(vod, "\n", "\r\n"))},
		{"M3U-UTF8", one("\uFEFF" + vod), one(edit(vod, "0.ts", "ü.ts"))},
		{"M3U-UTF8", one(edit(vod, "0.ts", "\xff.ts")), one(vod)},
		{"M3U-CONTROL", one(edit(vod, "0.ts", "0\x07.ts")), one(strings.ReplaceAll(vod, "\n", "\r\n"))},
		{"M3U-WHITESPACE", one(edit(vod, "0.ts", "0.ts ")), one(edit(vod, "2.000,", "2.000,a title"))},
		{"M3U-KIND", one("#EXTM3U\n"), one(vod)},
		{"M3U-MIXED", one(edit(master, "#EXT-X-VERSION:4", "#EXT-X-TARGETDURATION:4")), one(master)},
		{"M3U-ONCE", one(edit(vod, "#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2")), one(live)},
		{"M3U-TAG-VALUE", one(edit(vod, "SEQUENCE:0", "SEQUENCE:-1")), one(edit(vod, "SEQUENCE:0", "SEQUENCE:18446744073709551615"))},
		{"M3U-TAG-VALUE", one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:2.5")), one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:02"))},
		{"M3U-TAG-VALUE", one(edit(vod, "TYPE:VOD", "TYPE:LIVE")), one(edit(vod, "TYPE:VOD", "TYPE:EVENT"))},
		{"M3U-TAG-VALUE", one(edit(vod, "EXTINF:2.000", "EXTINF:two")), one(edit(vod, "EXTINF:2.000", "EXTINF:2"))},
		{"M3U-TAG-VALUE", one(edit(live, "2026-11-21T10:00:00.000Z", "yesterday")), one(edit(live, "2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000+0100"))},
		{"M3U-ATTRIBUTE-SYNTAX", one(edit(master, `,AUDIO="a"`, `, AUDIO="a"`)), one(master)},
		{"M3U-ATTRIBUTE-SYNTAX", one(edit(master, `AUDIO="a"`, `AUDIO="a`)), one(edit(master, `NAME="English"`, `NAME="a,b=c"`))},
		{"M3U-ATTRIBUTE-SYNTAX", one(edit(master, `,AUDIO="a"`, `,AUDIO="a",`)), one(edit(master, `,AUDIO="a"`, `,AUDIO="a",X-MINE=1`))},
		{"M3U-ATTRIBUTE-TWICE", one(edit(master, "BANDWIDTH=132400,", "BANDWIDTH=132400,BANDWIDTH=1,")), one(master)},
		{"M3U-ATTRIBUTE-MISSING", one(edit(master, "BANDWIDTH=132400,", "")), one(edit(master, ",FRAME-RATE=25.000", ""))},
		{"M3U-ATTRIBUTE-VALUE", one(edit(master, `CODECS="avc1.4d401e,mp4a.40.2"`, "CODECS=avc1")), one(master)},
		{"M3U-ATTRIBUTE-VALUE", one(edit(master, "RESOLUTION=640x360", "RESOLUTION=640*360")), one(edit(master, "RESOLUTION=640x360", "RESOLUTION=640x360,VIDEO-RANGE=PQ"))},
		{"M3U-ATTRIBUTE-VALUE", one(edit(master, "DEFAULT=YES", "DEFAULT=TRUE")), one(edit(master, "DEFAULT=YES", "DEFAULT=NO"))},
		{"M3U-VARIABLE", one(edit(vod, "#EXT-X-VERSION:3", "#EXT-X-VERSION:8", "0.ts", "{$dir}/0.ts")),
			one(edit(vod, "#EXT-X-VERSION:3", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"dir\",VALUE=\"d\"", "0.ts", "{$dir}/0.ts"))},
		{"M3U-VARIABLE", one(edit(vod, "#EXT-X-VERSION:3", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"a\",IMPORT=\"b\"")), one(edit(vod, "0.ts", "{$}.ts"))},
		{"M3U-VARIABLE", one(edit(vod, "#EXT-X-VERSION:3", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"\"\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"\"")), one(vod)},
		{"M3U-VERSION-LOW", one(edit(vod, "VERSION:3", "VERSION:2")), one(edit(vod, "VERSION:3", "VERSION:4"))},
		{"M3U-VERSION-LOW", one(edit(vod, "#EXTINF", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF")), one(edit(vod, "#EXTINF", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF", "VERSION:3", "VERSION:6"))},
		{"M3U-VERSION-HIGH", one(edit(vod, "VERSION:3", "VERSION:7")), one(edit(vod, "VERSION:3", "VERSION:6"))},
		{"M3U-REMOVED", one(edit(vod, "VERSION:3", "VERSION:7\n#EXT-X-ALLOW-CACHE:NO")), one(edit(vod, "VERSION:3", "VERSION:3\n#EXT-X-ALLOW-CACHE:NO"))},
		{"M3U-REMOVED", one(edit(master, "VERSION:4", "VERSION:6", "INF:", "INF:PROGRAM-ID=1,")), one(edit(master, "INF:", "INF:PROGRAM-ID=1,"))},
		{"M3U-START", one(edit(live, "#EXTINF", "#EXT-X-START:TIME-OFFSET=-4\n#EXTINF")), one(edit(live, "#EXTINF", "#EXT-X-START:TIME-OFFSET=-7.5\n#EXTINF"))},
		{"M3U-START", one(edit(vod, "#EXTINF", "#EXT-X-START:TIME-OFFSET=6.5\n#EXTINF")), one(edit(vod, "#EXTINF", "#EXT-X-START:TIME-OFFSET=5.5\n#EXTINF"))},
		{"M3U-LIMIT", one(vod + strings.Repeat("#\n", playlist.MaxPlaylist/2)), one(vod + strings.Repeat("#\n", 1000))},
		{"M3U-LIMIT", one("#EXTM3U\n" + strings.Repeat("#EXTINF:1,\na\n", playlist.MaxSegments+1)), one(vod)},
		{"M3U-LIMIT", one("#EXTM3U\n#EXT-X-MEDIA:" + strings.Repeat("A=1,", playlist.MaxAttributes+1)), one(master)},
	}
}

func mediaCases() []ruleCase {
	dateRange := func(s string) string { return edit(live, "#EXTINF", "#EXT-X-DATERANGE:"+s+"\n#EXTINF") }
	ranged := func(first, second string) string {
		return edit(vod, "VERSION:3", "VERSION:4", "#EXTINF:2.000,\n0.ts", "#EXT-X-BYTERANGE:"+first+"\n#EXTINF:2.000,\n0.ts", "#EXTINF:2.000,\n1.ts", "#EXT-X-BYTERANGE:"+second+"\n#EXTINF:2.000,\n0.ts")
	}
	key := func(s string) string {
		return edit(vod, "VERSION:3", "VERSION:5", "#EXTINF", "#EXT-X-KEY:"+s+"\n#EXTINF")
	}
	bitrate := func(kbps string) report.Report {
		return presentation(master, edit(vod, "#EXTINF", "#EXT-X-BITRATE:"+kbps+"\n#EXTINF"))
	}
	return []ruleCase{
		{"M3U-TARGETDURATION", one(edit(vod, "EXTINF:2.000", "EXTINF:2.500")), one(edit(vod, "EXTINF:2.000", "EXTINF:2.499"))},
		{"M3U-TARGETDURATION-MISSING", one(edit(vod, "#EXT-X-TARGETDURATION:2\n", "")), one(vod)},
		{"M3U-TARGETDURATION-MISSING", one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:two")), one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:0"))},
		{"M3U-TARGETDURATION-ZERO", one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:0")), one(edit(strings.ReplaceAll(vod, "2.000", "0.200"), "TARGETDURATION:2", "TARGETDURATION:1"))},
		{"M3U-TAG-VALUE", one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:two")), one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:0"))},
		{"M3U-TARGETDURATION-LONG", one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:11")), one(edit(vod, "TARGETDURATION:2", "TARGETDURATION:10"))},
		{"M3U-EXTINF-MISSING", one(edit(vod, "#EXTINF:2.000,\n", "")), one(vod)},
		{"M3U-EXTINF-DANGLING", one(edit(vod, "0.ts\n", "")), one(vod)},
		{"M3U-EXTINF-DANGLING", one(edit(vod, "2.ts\n", "")), one(vod)},
		{"M3U-EXTINF-COMMA", one(edit(vod, "2.000,", "2.000")), one(vod)},
		{"M3U-EXTINF-INTEGER", one(strings.ReplaceAll(vod, "2.000,", "2,")), one(edit(vod, "2.000,", "2,"))},
		{"M3U-EXTINF-ZERO", one(edit(vod, "EXTINF:2.000", "EXTINF:0.000")), one(edit(vod, "EXTINF:2.000", "EXTINF:0.001"))},
		{"M3U-EMPTY", one("#EXTM3U\n#EXT-X-TARGETDURATION:2\n"), one(vod)},
		{"M3U-SEQUENCE-PLACE", one(edit(live, "#EXT-X-MEDIA-SEQUENCE:7\n", "", "7.ts\n", "7.ts\n#EXT-X-MEDIA-SEQUENCE:7\n")), one(live)},
		{"M3U-SEQUENCE-PLACE", one(edit(live, "#EXT-X-DISCONTINUITY-SEQUENCE:1\n", "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n")), one(edit(live, "#EXTINF", "#EXT-X-DISCONTINUITY\n#EXTINF"))},
		{"M3U-DISCONTINUITY-FIRST", one(edit(vod, "#EXTINF", "#EXT-X-DISCONTINUITY\n#EXTINF")), one(edit(live, "#EXTINF", "#EXT-X-DISCONTINUITY\n#EXTINF"))},
		{"M3U-DISCONTINUITY-SEQUENCE", one(edit(live, "#EXT-X-DISCONTINUITY-SEQUENCE:1\n", "")), one(edit(vod, "1.ts\n", "1.ts\n#EXT-X-DISCONTINUITY\n"))},
		{"M3U-TYPE-SLID", one(edit(vod, "SEQUENCE:0", "SEQUENCE:3")), one(vod)},
		{"M3U-VOD-ENDLIST", one(edit(vod, "#EXT-X-ENDLIST\n", "")), one(edit(vod, "#EXT-X-ENDLIST\n", "", "VOD", "EVENT"))},
		{"M3U-VOD-TYPE", one(edit(vod, "#EXT-X-PLAYLIST-TYPE:VOD\n", "")), one(live + "#EXT-X-ENDLIST\n")},
		{"M3U-LIVE-SHORT", one(edit(live, "#EXTINF:2.000,\n12.ts\n", "")), one(live)},
		{"M3U-PDT-MISSING", one(edit(live, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z\n", "", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:06.500Z\n", "")), one(live)},
		{"M3U-PDT-ZONE", one(edit(live, "10:00:00.000Z", "10:00:00.000")), one(edit(live, "10:00:00.000Z", "10:00:00.000+00:00"))},
		{"M3U-PDT-ZONE", one(edit(live, "10:00:00.000Z", "10:00:00Z")), one(live)},
		{"M3U-PDT-BACK", one(edit(live, "10:00:06.500Z", "10:00:04.900Z")), one(edit(live, "10:00:06.500Z", "10:00:05.100Z"))},
		{"M3U-PDT-JUMP", one(edit(live, "#EXTINF:2.000,\n12.ts", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:12.000Z\n#EXTINF:2.000,\n12.ts")),
			one(edit(live, "10:00:06.500Z", "10:05:00.000Z"))},
		{"M3U-PDT-DISCONTINUITY", one(edit(live, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:06.500Z\n", "")), one(live)},
		{"M3U-BYTERANGE", one(ranged("100", "100")), one(ranged("100@0", "100"))},
		{"M3U-BYTERANGE", one(edit(vod, "VERSION:3", "VERSION:6", "#EXTINF", "#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9\"\n#EXTINF")), one(edit(vod, "VERSION:3", "VERSION:6", "#EXTINF", "#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9@0\"\n#EXTINF"))},
		{"M3U-KEY", one(key("METHOD=AES-128")), one(key(`METHOD=AES-128,URI="k",IV=0x00000000000000000000000000000001`))},
		{"M3U-KEY", one(key(`METHOD=NONE,URI="k"`)), one(key("METHOD=NONE"))},
		{"M3U-KEY", one(key(`METHOD=AES-256-GCM,URI="k",IV=0x01`)), one(key(`METHOD=AES-256-GCM,URI="k"`))},
		{"M3U-MAP", one(edit(vod, "0.ts", "0.m4s")), one(edit(vod, "VERSION:3", "VERSION:6", "#EXTINF", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF", "0.ts", "0.m4s"))},
		{"M3U-URI-TWICE", one(edit(vod, "1.ts", "0.ts")), one(edit(vod, "0.ts\n", "0.ts\n#EXT-X-DISCONTINUITY\n", "1.ts", "0.ts"))},
		{"M3U-BITRATE", bitrate("150"), bitrate("140")},
		{"M3U-DATERANGE", one(dateRange(`ID="a"`)), one(dateRange(`ID="a",START-DATE="2026-11-21T10:00:00.000Z"`))},
		{"M3U-DATERANGE", one(dateRange(`ID="a",START-DATE="2026-11-21T10:00:00.000Z",END-DATE="2026-11-21T10:00:02.000Z",DURATION=3`)),
			one(dateRange(`ID="a",START-DATE="2026-11-21T10:00:00.000Z",END-DATE="2026-11-21T10:00:02.500Z",DURATION=2.5`))},
		{"M3U-DATERANGE", one(dateRange(`ID="a",START-DATE="2026-11-21T10:00:00.000Z",END-DATE="2026-11-21T09:00:00.000Z"`)), one(live)},
		{"M3U-DATERANGE", one(dateRange(`ID="a",START-DATE="2026-11-21T10:00:00.000Z",END-ON-NEXT=YES`)), one(dateRange(`ID="a",CLASS="c",START-DATE="2026-11-21T10:00:00.000Z",END-ON-NEXT=YES`))},
		{"M3U-DATERANGE", one(edit(vod, "#EXTINF", `#EXT-X-DATERANGE:ID="a",START-DATE="2026-11-21T10:00:00.000Z"`+"\n#EXTINF")), one(live)},
		{"M3U-DATERANGE", one(dateRange("ID=\"a\",START-DATE=\"2026-11-21T10:00:00.000Z\"\n#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-11-21T10:00:01.000Z\"")),
			one(dateRange("ID=\"a\",START-DATE=\"2026-11-21T10:00:00.000Z\"\n#EXT-X-DATERANGE:ID=\"a\",DURATION=3"))},
		{"M3U-GAP", one(edit(vod, "#EXTINF", "#EXT-X-GAP\n#EXTINF")), one(vod)},
	}
}

func lowLatencyCases() []ruleCase {
	const ll = `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES,HOLD-BACK=6
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z
#EXT-X-PART:DURATION=0.5,URI="0.0.ts",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.45,URI="0.1.ts"
#EXT-X-PART:DURATION=0.5,URI="0.2.ts"
#EXT-X-PART:DURATION=0.3,URI="0.3.ts"
#EXTINF:1.750,
0.ts
#EXT-X-PART:DURATION=0.5,URI="1.0.ts"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1.1.ts"
#EXT-X-RENDITION-REPORT:URI="../a.m3u8",LAST-MSN=1,LAST-PART=0
`
	long := strings.Repeat("#EXTINF:2.000,\nx.ts\n", 4)
	return []ruleCase{
		{"LL-PART-INF", one(edit(ll, "#EXT-X-PART-INF:PART-TARGET=0.5\n", "")), one(ll)},
		{"LL-PART-LONG", one(edit(ll, "DURATION=0.5,URI=\"0.2", "DURATION=0.51,URI=\"0.2")), one(ll)},
		{"LL-PART-SHORT", one(edit(ll, "DURATION=0.45", "DURATION=0.4")), one(ll)},
		{"LL-PART-SHORT", one(edit(ll, `0.5,URI="1.0.ts"`, `0.1,URI="1.0.ts"`)), one(edit(ll, `0.5,URI="1.0.ts"`, `0.1,URI="1.0.ts",GAP=YES`))},
		{"LL-PART-TAGS", one(edit(ll, "#EXT-X-PART:DURATION=0.45", "#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.45")), one(edit(ll, "#EXT-X-PART:DURATION=0.5,URI=\"1", "#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"1"))},
		{"LL-PART-SUM", one(edit(ll, "EXTINF:1.750", "EXTINF:2.000")), one(ll)},
		{"LL-PART-OLD", one(edit(ll, "0.ts\n#EXT-X-PART", "0.ts\n"+long+"#EXT-X-PART")), one(edit(ll, "0.ts\n#EXT-X-PART", "0.ts\n"+long[:len(long)/4*3]+"#EXT-X-PART"))},
		{"LL-PART-HOLD-BACK", one(edit(ll, "PART-HOLD-BACK=1.5,", "")), one(ll)},
		{"LL-PART-HOLD-BACK", one(edit(ll, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.9")), one(edit(ll, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.0"))},
		{"LL-PART-HOLD-BACK-SHORT", one(edit(ll, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.4")), one(ll)},
		{"LL-HOLD-BACK", one(edit(ll, ",HOLD-BACK=6", ",HOLD-BACK=5")), one(ll)},
		{"LL-SKIP", one(edit(ll, "CAN-SKIP-UNTIL=12", "CAN-SKIP-UNTIL=11.9")), one(ll)},
		{"LL-SKIP", one(edit(ll, "CAN-SKIP-UNTIL=12,", "")), one(edit(ll, "CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES,", ""))},
		{"LL-BLOCK", one(edit(ll, "CAN-BLOCK-RELOAD=YES,", "")), one(live)},
		{"LL-PRELOAD-HINT", one(ll + "#EXT-X-ENDLIST\n"), one(ll)},
		{"LL-PRELOAD-HINT-TWICE", one(ll + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"1.2.ts\"\n"), one(ll + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"i.mp4\"\n")},
		{"LL-RENDITION-REPORT", one(edit(ll, "../a.m3u8", "https://example.com/a.m3u8")), one(ll)},
	}
}
