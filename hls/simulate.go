package hls

import "time"

// Course is what a rendition's objects come to over a show.
type Course struct {
	Segments, Runs, VODs int64 // how often each is written; a live playlist with each segment
	RunsRead             int64 // index objects that the VODs are made of
	// Bytes of all live playlists, index objects and VODs that are written.
	LiveBytes, RunBytes, VODBytes int64
	LastLive, LastVOD             int64 // bytes of the last ones
}

// simulatedAt is when a simulated show begins, in Unix milliseconds.
const simulatedAt = 1_700_000_000_000

// Simulate has a State go through a show of even segments, without their media,
// by the same rules as one that is cut.
func Simulate(set Settings, show time.Duration) (c Course) {
	st := newState(set, TS)
	step := set.Segment.Milliseconds()
	st.Target = st.targetFor(step)
	var line, head int64 // what an entry and what is before the first take in a list
	for at := int64(0); at < show.Milliseconds(); at += step {
		st.Entries = append(st.Entries, Entry{DurationMS: min(step, show.Milliseconds()-at), WallMS: simulatedAt + at, Bytes: 1 << 20})
		c.Segments++
		for run := st.evict(); run != nil; run = st.evict() {
			c.RunBytes += int64(len(EncodeRun(uint64(c.Runs), run)))
			c.Runs++
		}
		n := int64(st.Window())
		if c.Segments <= int64(MaxWindowSegments) || c.Segments%RunLength == 0 { // else it is as long as the one before
			c.LastLive = int64(len(st.LivePlaylist()))
			if n > 1 {
				line = (c.LastLive - int64(len(st.media(0, 0, nil, "")))) / n
				head = c.LastLive - n*line
			}
		}
		c.LiveBytes += c.LastLive
		if st.VODDue() {
			c.vod(head + c.Segments*line)
			st.VODLength = st.Next()
		}
	}
	c.vod(head + c.Segments*line) // at the end
	return c
}

// vod writes vod.m3u8.
func (c *Course) vod(size int64) {
	c.VODs++
	c.RunsRead += c.Runs
	c.VODBytes += size
	c.LastVOD = size
}
