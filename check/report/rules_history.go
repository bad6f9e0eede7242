package report

// historyRules hold between two versions of a live playlist.
var historyRules = []Rule{
	{"LIVE-SEQUENCE-BACK", bis + "6.2.2", Error, "EXT-X-MEDIA-SEQUENCE never decreases, and the end of the playlist never goes back.", "Write playlists in order, from one place; check for a second writer and for caches that differ."},
	{"LIVE-DISCONTINUITY-SEQUENCE", bis + "6.2.2", Error, "A segment keeps its discontinuity sequence number: EXT-X-DISCONTINUITY-SEQUENCE grows by one for each EXT-X-DISCONTINUITY that leaves.", "Count the tags as they leave the window, with the segment that carried them."},
	{"LIVE-FORK", bis + "6.2.1", Error, "A media sequence number keeps its URI: playlists only gain at the end and lose at the start.", "Two writers are at work, or a restart lost its state: continue from the last playlist."},
	{"LIVE-CHANGED", bis + "6.2.1", Error, "A listed segment keeps its duration, date, discontinuity and byte range.", "Write an entry once, when its segment is whole."},
	{"LIVE-TARGETDURATION", bis + "6.2.1", Error, "EXT-X-TARGETDURATION never changes.", "Fix it before the first segment."},
	{"LIVE-TYPE", bis + "6.2.1", Error, "A playlist of type VOD never changes, one of type EVENT loses nothing, and the type stays.", "Leave the type out of a sliding playlist."},
	{"LIVE-ENDLIST", bis + "4.4.3.4", Error, "After EXT-X-ENDLIST nothing is added, and it stays.", "Begin a new playlist for a new broadcast."},
	{"LIVE-STALE", bis + "6.2.1", Error, "A new segment is listed at most 1.5 target durations after the one before.", "Publish a segment as soon as it is whole; end the broadcast with EXT-X-ENDLIST; mark lost media with EXT-X-GAP."},
	{"LIVE-WINDOW", bis + "6.2.2", Error, "Segments leave only while three target durations stay.", "Lengthen the window."},
	{"LIVE-GONE", bis + "6.2.2", Error, "A segment that left the playlist can be had for as long as the playlist was.", "Delete segments later, by age."},
	{"LIVE-REUSED", bis + "6.2.2", Error, "A URI keeps its bytes: caches and slow players have the old ones.", "Give every segment a name that is never used again."},
	{"LIVE-PDT-FUTURE", apple + "8.5", Warning, "No segment ends later than now by the wall clock, to a second.", "Set the clocks (NTP), and date by capture, not by length."},
	{"LIVE-LATENCY", apple + "8.5", Warning, "The last segment ended at most three target durations ago.", "Look for slow uploads, caches and clocks that are wrong."},
	{"LIVE-UNAVAILABLE", bis + "6.2.1", Error, "A live playlist can be had at any time.", "Replace it in one step, never delete it while the broadcast lasts."},
}
