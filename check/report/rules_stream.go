package report

// players is the section of a rule that no standard has: viewers' players stop
// where it is broken.
const players = "measured: hls.js 1.7"

// iso begins the section of a rule of the transport stream.
const iso = "ISO/IEC 13818-1 "

// deliveryRules hold for objects as the server hands them out.
var deliveryRules = []Rule{
	{"OBJ-MISSING", bis + "6.2.1", Error, "What a playlist lists can be had, unless it is a gap.", "Look at the URI in the playlist, and whether the store has the object: it is uploaded before the playlist that names it, and stays for as long as that. Mark what is lost with EXT-X-GAP."},
	{"OBJ-PLAYLIST-TYPE", bis + "4", Error, "A playlist's path ends in .m3u8 or .m3u, or its Content-Type is application/vnd.apple.mpegurl or audio/mpegurl.", "Send Content-Type: application/vnd.apple.mpegurl."},
	{"OBJ-SEGMENT-TYPE", apple + "10.4", Warning, "A segment has the media type of its format.", "Send video/mp2t for .ts, video/mp4 or video/iso.segment for fMP4."},
	{"OBJ-GZIP", apple + "10.1", Warning, "A playlist of 8 kB or more is compressed for clients that accept it.", "Turn on gzip for application/vnd.apple.mpegurl."},
	{"OBJ-REDIRECT", apple + "8.18", Warning, "Media requests are not redirected.", "Write the final URI into the playlist."},
	{"OBJ-CACHE", bis + "6.2.1", Warning, "A live playlist is cached for at most a target duration.", "Send Cache-Control: max-age of half a target duration."},
	{"OBJ-CORS", "Fetch 3.2", Warning, "A player on another web site may read playlists and segments.", "Send Access-Control-Allow-Origin."},
}

// segmentRules hold for a segment against its playlist and its neighbours.
var segmentRules = []Rule{
	{"SEG-FORMAT", bis + "3.1", Error, "A segment is a transport stream, fragmented MP4, packed audio or WebVTT, and not empty.", "Look at what the server sends: often it is an error page."},
	{"SEG-NO-MEDIA", bis + "3", Error, "A segment holds audio or video.", "Drop it from the playlist or mark it EXT-X-GAP."},
	{"SEG-EXTINF", bis + "4.4.4.1", Error, "EXTINF is how far the next segment begins behind this one, or without a next one the duration of its media, to half a second.", "Take the duration from the timestamps of first and next frame."},
	{"SEG-EXTINF-SUM", apple + "8.1", Warning, "EXTINF, and their sum over any run of segments, are within a video frame of the truth.", "Round boundaries, not durations: EXTINF = round(end) − round(start)."},
	{"SEG-TIMESTAMP", bis + "3", Error, "Timestamps go on from one segment to the next, and over EXT-X-GAP, without stepping back or jumping more than half a second, unless EXT-X-DISCONTINUITY says so.", "List segments in the order of their media; write EXT-X-DISCONTINUITY where the clock changes."},
	{"SEG-HOLE", apple + "7.1", Warning, "Media goes on without holes of more than 100 ms and two frames.", "Frames were lost on the way: look at encoder and ingest. A video whose frame rate varies is best left as it is."},
	{"SEG-TRACKS", bis + "4.4.4.3", Error, "Tracks keep number, type and identifier, unless EXT-X-DISCONTINUITY says so.", "Write EXT-X-DISCONTINUITY where tracks come or go."},
	{"SEG-TRACK-SET", players, Error, "The segments of a rendition hold audio and video, or one of them, from the first to the last: players make their buffers from the first one, and wait for all of them.", "Decide what a show holds before its first segment; fill a pause of the sound with silence, one of the picture with the last picture; begin a new broadcast where a track is there to stay."},
	{"SEG-TRACK-EMPTY", players, Error, "A segment holds something of each audio and video track that its PMT lists, the last one of a show aside.", "Fill pauses, or cut no segment until each track has a frame in it."},
	{"SEG-PARAMETERS", bis + "6.2.1", Error, "Codec, profile, resolution, sample rate and channels stay, unless EXT-X-DISCONTINUITY says so.", "Write EXT-X-DISCONTINUITY where the encoder changes."},
	{"SEG-INDEPENDENT", bis + "4.4.2.1", Error, "Under EXT-X-INDEPENDENT-SEGMENTS every video segment begins with an IDR picture and its parameter sets.", "Cut at IDR pictures and repeat SPS and PPS there, or leave the tag out."},
	{"SEG-INDEPENDENT-UNSAID", apple + "9.12", Warning, "Where every segment begins with an IDR picture, EXT-X-INDEPENDENT-SEGMENTS says so.", "Add the tag: switching gets faster."},
	{"SEG-IDR", apple + "7.4", Warning, "A video segment begins with an IDR picture.", "Cut at key frames; shorten the encoder's key frame interval."},
	{"SEG-PARAMETER-SETS", bis + "3", Warning, "A video segment has SPS and PPS before its first IDR picture.", "Repeat them at every IDR picture."},
	{"SEG-KEYFRAMES", apple + "1.13", Warning, "IDR pictures come every two seconds.", "Set the encoder's key frame interval to 2 s."},
	{"SEG-PROFILE", apple + "1.3", Warning, "H.264 is of High profile or below.", "Encode 4:2:0 8-bit High profile: browsers and televisions decode no other."},
	{"SEG-HEVC", apple + "1.5", Warning, "HEVC comes in fMP4.", "Package HEVC as fMP4."},
	{"SEG-AUDIO-TRACKS", apple + "2.17", Warning, "A segment holds one audio stream.", "Put further audio into renditions of its own."},
	{"SEG-AV-START", apple + "7.1", Warning, "Audio and video of a segment begin within half a second of each other.", "Cut both at the same time."},
	{"SEG-AV-DRIFT", apple + "7.1", Warning, "Audio timestamps advance as its samples do, to 50 ms in a segment.", "Count samples instead of trusting millisecond stamps; look for lost audio."},
	{"SEG-INTERLEAVE", apple + "7.2", Warning, "Audio and video that play together lie within a second of each other in the file.", "Write packets in the order of DTS."},
	{"SEG-CODECS", bis + "6.2.4", Error, "CODECS lists every format that the segments hold.", "Correct CODECS: from SPS (avc1.PPCCLL) and AudioSpecificConfig (mp4a.40.N)."},
	{"SEG-CODECS-EXTRA", bis + "4.4.6.2", Warning, "CODECS lists no format that the segments lack.", "Take it out: a player may refuse the variant for it."},
	{"SEG-RESOLUTION", bis + "4.4.6.2", Warning, "RESOLUTION is that of the video.", "Correct RESOLUTION."},
	{"SEG-FRAME-RATE", bis + "4.4.6.2", Warning, "FRAME-RATE is that of the video.", "Correct FRAME-RATE."},
	{"SEG-BANDWIDTH", bis + "4.4.6.2", Error, "BANDWIDTH of an ended presentation is its peak, at most 10 % too low.", "Measure: the largest bit rate of any run of segments of 0.5 to 1.5 target durations."},
	{"SEG-BANDWIDTH-LIVE", apple + "1.29", Warning, "The peak of a live presentation is below 125 % of BANDWIDTH.", "Raise BANDWIDTH, or limit the encoder."},
	{"SEG-BANDWIDTH-HIGH", apple + "1.27", Warning, "BANDWIDTH of an ended presentation is at most 10 % above its peak.", "Measure it when the presentation ends."},
	{"SEG-AVERAGE-BANDWIDTH", apple + "1.26, 1.28", Warning, "AVERAGE-BANDWIDTH is within 10 % of the average bit rate (live: not 10 % below).", "Measure it when the presentation ends."},
	{"MP4-INIT", bis + "3.1.2", Error, "What EXT-X-MAP names is an MP4 header: ftyp, then moov with mvex.", "Write an initialization section."},
	{"MP4-FRAGMENT", bis + "3.1.2", Error, "An fMP4 segment is moof and mdat, and each traf has a tfdt.", "Write fragments with a decode time."},
	{"AUD-TIMESTAMP", bis + "3.1.3", Error, "A packed audio segment begins with an ID3 PRIV com.apple.streaming.transportStreamTimestamp.", "Write the tag, with the 33-bit timestamp of the first sample."},
	{"VTT-HEADER", bis + "3.1.4", Error, "A WebVTT segment begins with WEBVTT, or has EXT-X-MAP.", "Begin each segment with the header."},
}

// streamRules hold for the bytes of one transport stream segment.
var streamRules = []Rule{
	{"TS-SYNC", iso + "2.4.3.2", Error, "A segment is packets of 188 bytes that begin with 0x47, to the last byte.", "The file is cut or damaged: write it whole, publish it then."},
	{"TS-PAT-PMT", bis + "3.1.1", Error, "A segment holds a PAT and a PMT, or has EXT-X-MAP.", "Repeat the tables at the start of each segment."},
	{"TS-PAT-FIRST", bis + "3.1.1", Warning, "The first two packets of a segment are PAT and PMT.", "Begin each segment with the tables. ffmpeg puts its SDT first, which players skip."},
	{"TS-PROGRAMS", bis + "3.1.1", Error, "A segment holds one program.", "Split the programs."},
	{"TS-CRC", iso + "2.4.4.1", Error, "A table's CRC_32 is right.", "The file is damaged, or the muxer broken."},
	{"TS-ERROR", iso + "2.4.3.3", Error, "No packet has transport_error_indicator set.", "The bytes were damaged before they got here: look at the receiver."},
	{"TS-SCRAMBLED", iso + "2.4.3.3", Warning, "No packet is scrambled by the transport stream's own means.", "Use EXT-X-KEY: players know no other way."},
	{"TS-CONTINUITY", iso + "2.4.3.3", Error, "The continuity counter of each PID counts the packets of a segment.", "Packets were lost: look at what lies between muxer and file."},
	{"TS-CONTINUITY-ACROSS", bis + "3", Error, "Continuity counters of audio and video go on from one segment to the next, unless EXT-X-DISCONTINUITY or EXT-X-GAP stands between.", "Carry the counters over; look for lost or swapped segments."},
	{"TS-CONTINUITY-TABLES", bis + "3", Error, "Continuity counters of PAT and PMT go on from one segment to the next, unless EXT-X-DISCONTINUITY or EXT-X-GAP stands between.", "Carry the counters over. Most players ignore it."},
	{"TS-PCR-MISSING", iso + "2.4.4.9", Error, "The PCR_PID of the PMT carries clock references.", "Write a PCR with the packets of that PID."},
	{"TS-PCR-INTERVAL", iso + "2.7.2", Warning, "Clock references come every 100 ms.", "Write packets with a PCR alone where no frame is due."},
	{"TS-PCR-BACK", iso + "2.4.3.5", Error, "Clock references do not go back inside a segment.", "Write packets in the order of DTS."},
	{"TS-PCR-LATE", iso + "2.4.2.6", Warning, "A frame arrives before it is to be decoded: DTS is not behind the clock.", "Raise the muxer's delay."},
	{"TS-PES", iso + "2.4.3.6", Error, "A PES packet has a right header and the length that it says.", "Packets were lost, or the muxer is broken."},
	{"TS-PTS-MISSING", iso + "2.7.4", Warning, "Every frame that begins a PES packet has a timestamp.", "Write a PTS into every PES packet."},
	{"TS-DTS-ORDER", iso + "2.4.3.7", Error, "The DTS of a track grows from frame to frame.", "Sort by DTS, and part frames with equal stamps."},
	{"TS-PTS-BEFORE-DTS", iso + "2.4.3.7", Error, "No frame is shown before it is decoded.", "Correct composition offsets."},
	{"TS-RANDOM-ACCESS", iso + "2.4.3.5", Warning, "Packets that begin an IDR picture have random_access_indicator set.", "Set it: players seek by it."},
	{"TS-AUD", iso + "2.14.1", Warning, "Every H.264 access unit begins with an access unit delimiter.", "Write 00 00 00 01 09 F0 before each picture."},
	{"TS-ADTS", "ISO/IEC 14496-3 1.A.2", Error, "AAC is a chain of whole ADTS frames.", "Packets were lost, or the muxer wrote raw AAC."},
	{"TS-MPEG-AUDIO", "ISO/IEC 11172-3 2.4.1", Error, "MPEG audio (MP3) is a chain of whole frames.", "Packets were lost, or the muxer cut frames that it did not know."},
	{"TS-STREAM-TYPE", apple + "1.1, 2.2, 2.5", Warning, "Video is H.264 or HEVC; audio is AAC, MP3, AC-3 or E-AC-3.", "Transcode: players know no other."},
}
