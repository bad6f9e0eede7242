package report

// bis and apple begin the section of a rule: RFC 8216 in its second edition,
// and the HLS Authoring Specification for Apple Devices.
const (
	bis   = "RFC 8216bis "
	apple = "Authoring "
)

// playlistRules hold for every playlist.
var playlistRules = []Rule{
	{"M3U-HEADER", bis + "4.4.1.1", Error, "The first line of a playlist is #EXTM3U.", "Write #EXTM3U first, with nothing before it."},
	{"M3U-UTF8", bis + "4.1", Error, "A playlist is UTF-8 without a byte order mark.", "Save it as UTF-8 without BOM."},
	{"M3U-CONTROL", bis + "4.1", Error, "A playlist holds no control characters but CR and LF.", "Take the control characters out."},
	{"M3U-WHITESPACE", bis + "4.1", Error, "No white space stands around a tag, a URI or an attribute.", "Trim the line."},
	{"M3U-KIND", bis + "4.1", Error, "A playlist is a media playlist or a multivariant playlist, by its tags.", "Add EXT-X-TARGETDURATION and segments, or EXT-X-STREAM-INF and playlists."},
	{"M3U-MIXED", bis + "4.4.6", Error, "No playlist holds tags of media and of multivariant playlists.", "Split it in two."},
	{"M3U-ONCE", bis + "4.4.2, 4.4.3", Error, "A tag that describes the whole playlist stands in it once.", "Keep one of them."},
	{"M3U-TAG-VALUE", bis + "4.4", Error, "A tag has a value of the form that its definition gives.", "Write the value as the section of that tag says."},
	{"M3U-ATTRIBUTE-SYNTAX", bis + "4.2", Error, "An attribute list is NAME=value, joined by commas without spaces.", "Check commas, quotes and capital letters."},
	{"M3U-ATTRIBUTE-TWICE", bis + "4.2", Error, "A name stands once in an attribute list.", "Keep one of them."},
	{"M3U-ATTRIBUTE-MISSING", bis + "4.4", Error, "A tag has all the attributes that it requires.", "Add the attribute."},
	{"M3U-ATTRIBUTE-VALUE", bis + "4.2", Error, "An attribute has a value of its type, and of its list where it has one.", "Check quotes (strings have them, numbers and words do not), range and spelling."},
	{"M3U-VARIABLE", bis + "4.3, 4.4.2.3", Error, "Every variable reference is defined, once, before it is used.", "Add or repair the EXT-X-DEFINE."},
	{"M3U-VERSION-LOW", bis + "8", Error, "EXT-X-VERSION is at least what the playlist's tags need.", "Raise EXT-X-VERSION to the number named."},
	{"M3U-VERSION-HIGH", bis + "6.2.1", Warning, "EXT-X-VERSION is not higher than the playlist needs (up to 6 is left alone: it changed the meaning of EXT-X-TARGETDURATION).", "Lower it: a player must refuse versions that it does not know."},
	{"M3U-REMOVED", bis + "8", Warning, "A playlist of version 6 has no PROGRAM-ID, one of version 7 no EXT-X-ALLOW-CACHE.", "Leave it out."},
	{"M3U-START", bis + "4.4.2.2", Warning, "EXT-X-START lies inside the playlist, and outside the last three target durations of a live one.", "Move TIME-OFFSET."},
	{"M3U-LIMIT", "weir", Error, "A playlist has at most 16 MiB, 100 000 segments, 1000 variants and 256 attributes on a line.", "Cut the window: no player copes with such a playlist, and it was not read whole."},
}

// mediaRules hold for one media playlist.
var mediaRules = []Rule{
	{"M3U-TARGETDURATION", bis + "4.4.3.1", Error, "No EXTINF, rounded to the nearest integer, exceeds EXT-X-TARGETDURATION.", "Raise EXT-X-TARGETDURATION before the first segment goes out (it must not change later), or cut shorter."},
	{"M3U-TARGETDURATION-MISSING", bis + "4.4.3.1", Error, "A media playlist has EXT-X-TARGETDURATION.", "Add it: the longest segment, rounded."},
	{"M3U-TARGETDURATION-ZERO", bis + "6.3.4", Warning, "EXT-X-TARGETDURATION is a second or more: clients reload by it.", "Write 1 where all segments are shorter."},
	{"M3U-TARGETDURATION-LONG", apple + "7.5", Warning, "Target durations are about 6 seconds, 10 at most.", "Cut segments of 6 seconds: long ones delay start and switching."},
	{"M3U-EXTINF-MISSING", bis + "4.4.4.1", Error, "Every segment has an EXTINF.", "Write #EXTINF:<seconds>, before the URI."},
	{"M3U-EXTINF-DANGLING", bis + "4.4.4", Error, "Every EXTINF is followed by the URI of its segment.", "Add the URI or drop the tag."},
	{"M3U-EXTINF-COMMA", bis + "4.4.4.1", Error, "The duration in EXTINF is followed by a comma.", "Write #EXTINF:<seconds>,"},
	{"M3U-EXTINF-INTEGER", bis + "4.4.4.1", Warning, "Durations are decimal fractions, so that their sum stays true.", "Write EXTINF with three or more decimals, and EXT-X-VERSION:3 or higher."},
	{"M3U-EXTINF-ZERO", bis + "4.4.4.1", Warning, "A segment lasts longer than zero seconds.", "Join it to its neighbour."},
	{"M3U-EMPTY", bis + "4.4.3", Warning, "A media playlist lists a segment.", "Publish the playlist together with its first segment."},
	{"M3U-SEQUENCE-PLACE", bis + "4.4.3.2, 4.4.3.3", Error, "EXT-X-MEDIA-SEQUENCE and EXT-X-DISCONTINUITY-SEQUENCE stand before the first segment and any EXT-X-DISCONTINUITY.", "Move them to the top."},
	{"M3U-DISCONTINUITY-FIRST", bis + "4.4.4.3", Warning, "The very first segment, number 0, has no EXT-X-DISCONTINUITY: nothing precedes it.", "Leave the tag out there."},
	{"M3U-DISCONTINUITY-SEQUENCE", apple + "8.17", Warning, "A live playlist that has an EXT-X-DISCONTINUITY has EXT-X-DISCONTINUITY-SEQUENCE.", "Always write it: it counts the EXT-X-DISCONTINUITY tags that left the window."},
	{"M3U-TYPE-SLID", bis + "6.2.2", Warning, "A playlist of type VOD or EVENT begins at number 0: nothing was ever taken from it.", "Leave EXT-X-PLAYLIST-TYPE out of a sliding playlist."},
	{"M3U-VOD-ENDLIST", bis + "6.2.1", Error, "A playlist of type VOD ends with EXT-X-ENDLIST: it cannot change.", "Add EXT-X-ENDLIST."},
	{"M3U-VOD-TYPE", apple + "8.6", Warning, "An ended playlist that never was live says EXT-X-PLAYLIST-TYPE:VOD.", "Add it."},
	{"M3U-LIVE-SHORT", apple + "8.11", Warning, "A live playlist that has begun to slide lists six segments or more.", "Lengthen the window."},
	{"M3U-PDT-MISSING", apple + "8.4", Warning, "A live playlist has EXT-X-PROGRAM-DATE-TIME.", "Write the wall clock of the first segment at least."},
	{"M3U-PDT-ZONE", bis + "4.4.4.6", Warning, "EXT-X-PROGRAM-DATE-TIME has a time zone and milliseconds.", "Write 2026-01-02T03:04:05.678Z."},
	{"M3U-PDT-BACK", bis + "6.2.1", Error, "Dates do not go back: a segment begins no more than a second before its predecessor ended.", "Derive dates from the media clock, not from when segments were written."},
	{"M3U-PDT-JUMP", bis + "6.2.1", Warning, "Without EXT-X-DISCONTINUITY, dates advance as EXTINF says, to a second.", "Derive dates from the media clock, or mark the hole."},
	{"M3U-PDT-DISCONTINUITY", bis + "6.2.1", Warning, "Where a playlist has dates, every segment after EXT-X-DISCONTINUITY has one.", "Add EXT-X-PROGRAM-DATE-TIME there."},
	{"M3U-BYTERANGE", bis + "4.4.4.2", Error, "A byte range without offset follows a segment that is a range of the same resource.", "Write the offset."},
	{"M3U-KEY", bis + "4.4.4.4", Error, "EXT-X-KEY has the attributes that its METHOD asks for, and no others.", "NONE stands alone; every other METHOD needs URI; AES-256-GCM and SAMPLE-AES-CTR have no IV."},
	{"M3U-MAP", bis + "3.1.2", Error, "Every fMP4 segment has an EXT-X-MAP.", "Add EXT-X-MAP:URI=\"init.mp4\"."},
	{"M3U-URI-TWICE", bis + "3", Warning, "A resource is listed once, unless an EXT-X-DISCONTINUITY lets its timestamps begin again.", "Give each segment a name of its own."},
	{"M3U-BITRATE", bis + "4.4.4.8", Error, "EXT-X-BITRATE is within 10 % of its segments' bit rates.", "Correct it or leave it out."},
	{"M3U-DATERANGE", bis + "4.4.5.1", Error, "EXT-X-DATERANGE has a start, an end that agrees with its duration, and a playlist with dates.", "See the section: ID, START-DATE, END-DATE = START-DATE + DURATION, CLASS with END-ON-NEXT."},
	{"M3U-GAP-VERSION", bis + "8 (early drafts)", Warning, "A playlist with EXT-X-GAP says EXT-X-VERSION:8 or higher.", "Raise EXT-X-VERSION: the tag came with it, and parsers that are strict refuse it below."},
	{"M3U-GAP", bis + "6.2.1", Warning, "No media is missing: a segment marked EXT-X-GAP is a hole in the show.", "Nothing is wrong with the playlist: find out why the media was lost."},
}

// multivariantRules hold for a multivariant playlist, and for the playlists
// that it lists side by side.
var multivariantRules = []Rule{
	{"MVP-URI", bis + "4.4.6.2", Error, "Every EXT-X-STREAM-INF is followed by the URI of a media playlist, and every URI preceded by one.", "Put tag and URI on neighbouring lines."},
	{"MVP-NESTED", bis + "4.4.6.2", Error, "What a multivariant playlist lists are media playlists.", "Point it at media playlists."},
	{"MVP-CODECS", apple + "9.1, 9.3", Warning, "Every variant has CODECS.", "Add CODECS, as in \"avc1.64001f,mp4a.40.2\": without it players must try."},
	{"MVP-CODECS-FORM", bis + "4.4.6.2, RFC 6381", Error, "CODECS is a list of formats of RFC 6381.", "H.264 is avc1.PPCCLL in hexadecimal, AAC is mp4a.40.N."},
	{"MVP-RESOLUTION", apple + "9.2, 9.4", Warning, "Every variant with video has RESOLUTION.", "Add RESOLUTION=<width>x<height>."},
	{"MVP-FRAME-RATE", apple + "9.15", Warning, "Every variant with video has FRAME-RATE.", "Add FRAME-RATE=<frames per second>."},
	{"MVP-AVERAGE-BANDWIDTH", apple + "9.14", Warning, "Every variant has AVERAGE-BANDWIDTH.", "Add it: players plan by it."},
	{"MVP-AVERAGE-ABOVE", bis + "4.4.6.2", Error, "AVERAGE-BANDWIDTH does not exceed BANDWIDTH: an average is at most the peak.", "Measure both anew."},
	{"MVP-GROUP", bis + "4.4.6.2", Error, "AUDIO, VIDEO, SUBTITLES and CLOSED-CAPTIONS name a group that EXT-X-MEDIA of that type makes.", "Add the EXT-X-MEDIA or correct the name."},
	{"MVP-GROUP-NAME", bis + "4.4.6.1.1", Error, "Members of a group have different names.", "Give each EXT-X-MEDIA of the group a NAME of its own."},
	{"MVP-GROUP-DEFAULT", bis + "4.4.6.1.1", Error, "A group has one default at most.", "Leave DEFAULT=YES on one."},
	{"MVP-GROUP-MEMBERS", bis + "4.4.6.1.1", Error, "All groups of a type have the same members.", "List the same names in each group."},
	{"MVP-AUTOSELECT", bis + "4.4.6.1", Error, "A default rendition has no AUTOSELECT=NO.", "Write AUTOSELECT=YES."},
	{"MVP-MEDIA-URI", bis + "4.4.6.1, 4.4.6.2.1", Error, "Subtitles have a URI, closed captions have none.", "Add or remove URI."},
	{"MVP-INSTREAM-ID", bis + "4.4.6.1", Error, "Closed captions say INSTREAM-ID CC1 to CC4 or SERVICE1 to SERVICE63.", "Add the channel that carries them."},
	{"MVP-MEDIA-ONLY", bis + "4.4.6.1", Error, "FORCED is for subtitles; CHANNELS, BIT-DEPTH and SAMPLE-RATE are for audio.", "Remove the attribute."},
	{"MVP-LANGUAGE", apple + "8.10", Warning, "Every EXT-X-MEDIA but video has LANGUAGE.", "Add LANGUAGE=\"en\" or what it is (\"und\" where unknown)."},
	{"MVP-CHANNELS", bis + "4.4.6.1", Warning, "Every audio EXT-X-MEDIA has CHANNELS.", "Add CHANNELS=\"2\" or what it is."},
	{"MVP-CAPTIONS-NONE", bis + "4.4.6.2", Error, "CLOSED-CAPTIONS=NONE is on all variants or on none.", "Write it on all."},
	{"MVP-SCORE", bis + "4.4.6.2", Warning, "SCORE is on all variants or on none.", "Write it on all, or players ignore it."},
	{"MVP-INDEPENDENT", bis + "4.4.2.1", Warning, "What the multivariant playlist says for all (EXT-X-INDEPENDENT-SEGMENTS, EXT-X-START) no media playlist repeats.", "Keep it in one place."},
	{"MVP-I-FRAMES", bis + "4.4.6.3", Error, "The playlist of an EXT-X-I-FRAME-STREAM-INF says EXT-X-I-FRAMES-ONLY.", "Add the tag there."},
	{"MVP-SESSION-DATA", bis + "4.4.6.4", Error, "EXT-X-SESSION-DATA has a VALUE or a URI, and its DATA-ID and LANGUAGE once.", "Keep one."},
	{"MVP-SESSION-KEY", bis + "4.4.6.5", Error, "EXT-X-SESSION-KEY is not METHOD=NONE, and not said twice.", "Remove it."},
	{"MVP-STEERING", bis + "4.4.6.6", Error, "The PATHWAY-ID of EXT-X-CONTENT-STEERING is that of a variant.", "Use the PATHWAY-ID of a variant, or \".\"."},
	{"REN-TARGETDURATION", bis + "6.2.4", Error, "All media playlists have the same target duration.", "Fix one number for the presentation."},
	{"REN-TYPE", bis + "6.2.4", Error, "All media playlists have the same EXT-X-PLAYLIST-TYPE, or none.", "Write the same in all."},
	{"REN-PDT", bis + "6.2.4", Error, "All media playlists have EXT-X-PROGRAM-DATE-TIME, or none.", "Write dates in all."},
	{"REN-DISCONTINUITY", bis + "6.2.4", Error, "Matching content has matching discontinuity sequence numbers.", "Mark a discontinuity in all renditions, at the same time."},
	{"REN-DURATION", bis + "6.2.4", Error, "Ended renditions differ in length by a target duration at most.", "Cut or fill the longer and the shorter."},
	{"REN-TIMESTAMP", bis + "6.2.4", Error, "The first segments of all VOD playlists begin at the same timestamp.", "Mux all renditions on one timeline."},
	{"REN-SERVER-CONTROL", bis + "6.2.4", Error, "EXT-X-SERVER-CONTROL is the same in all media playlists.", "Write the same in all."},
}

// lowLatencyRules hold for partial segments and what comes with them.
var lowLatencyRules = []Rule{
	{"LL-PART-INF", bis + "4.4.3.7", Error, "A playlist with EXT-X-PART has EXT-X-PART-INF.", "Add EXT-X-PART-INF:PART-TARGET=<seconds>."},
	{"LL-PART-LONG", bis + "4.4.4.9", Error, "No part is longer than PART-TARGET.", "Raise PART-TARGET, or cut shorter."},
	{"LL-PART-SHORT", bis + "4.4.4.9", Error, "A part is at least 85 % of PART-TARGET, unless it is independent, a gap, before a gap or the last of its segment.", "Cut parts of equal length."},
	{"LL-PART-TAGS", bis + "4.4.4.9", Error, "EXT-X-DISCONTINUITY, EXT-X-KEY, EXT-X-MAP and EXT-X-PROGRAM-DATE-TIME stand before a segment's first part.", "Move the tag up."},
	{"LL-PART-SUM", bis + "3.2", Warning, "The parts of a segment last as long as the segment.", "List all parts, or none."},
	{"LL-PART-OLD", bis + "6.2.2", Warning, "Parts further than three target durations from the end are taken out.", "Drop them: they make the playlist long."},
	{"LL-PART-HOLD-BACK", bis + "4.4.3.8", Error, "With EXT-X-PART-INF there is PART-HOLD-BACK, at least twice PART-TARGET.", "Add it: three times PART-TARGET."},
	{"LL-PART-HOLD-BACK-SHORT", bis + "4.4.3.8", Warning, "PART-HOLD-BACK is at least three times PART-TARGET.", "Raise it."},
	{"LL-HOLD-BACK", bis + "4.4.3.8", Error, "HOLD-BACK is at least three target durations.", "Raise it, or leave it out."},
	{"LL-SKIP", bis + "4.4.3.8", Error, "CAN-SKIP-UNTIL is at least six target durations, and CAN-SKIP-DATERANGES comes with it.", "Raise or add CAN-SKIP-UNTIL."},
	{"LL-BLOCK", bis + "B.1", Warning, "A playlist with parts offers CAN-BLOCK-RELOAD=YES.", "Support _HLS_msn and _HLS_part at the origin, and say so."},
	{"LL-PRELOAD-HINT", bis + "4.4.5.3", Error, "An ended playlist has no EXT-X-PRELOAD-HINT.", "Remove the hint with EXT-X-ENDLIST."},
	{"LL-PRELOAD-HINT-TWICE", bis + "6.2.6", Warning, "There is one EXT-X-PRELOAD-HINT of a type.", "Keep the next one only."},
	{"LL-RENDITION-REPORT", bis + "4.4.5.4", Error, "EXT-X-RENDITION-REPORT has a relative URI.", "Write it relative to the playlist."},
}
