package hls_test

import (
	"fmt"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/framelog"
)

// A log goes in batch by batch; segments come out, each with the State to be
// saved behind it.
func ExampleCutter() {
	c, err := hls.New(hls.Settings{Segment: 4 * time.Second, Window: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, batch := range log() {
		for _, cut := range c.Push(batch) {
			if s := cut.Segment; s != nil {
				fmt.Printf("%s lasts %d ms; the next is number %d\n", s.Name, s.Entry.DurationMS, cut.State.Next())
			}
		}
	}
	// Output:
	// 00000000.ts lasts 4000 ms; the next is number 1
	// 00000001.ts lasts 4000 ms; the next is number 2
	// 00000002.ts lasts 2000 ms; the next is number 3
}

// Whoever goes on from a State makes the same segments.
func ExampleRestore() {
	var saved []byte
	first, _ := hls.New(hls.Settings{Segment: 4 * time.Second, Window: time.Minute})
	for _, batch := range log()[:20] { // and is killed
		for _, cut := range first.Push(batch) {
			saved = cut.State.Encode()
		}
	}
	state, err := hls.ParseState(saved)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := hls.Restore(state)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, batch := range log() { // what it has is passed over
		for _, cut := range second.Push(batch) {
			if cut.Segment != nil {
				fmt.Println(cut.Segment.Name)
			}
		}
	}
	// Output:
	// 00000001.ts
	// 00000002.ts
}

// Playlists are rendered from a State.
func ExampleState_LivePlaylist() {
	c, _ := hls.New(hls.Settings{Segment: 4 * time.Second, Window: time.Minute})
	for _, batch := range log() {
		c.Push(batch)
	}
	fmt.Printf("%s", c.State().LivePlaylist())
	// Output:
	// #EXTM3U
	// #EXT-X-VERSION:3
	// #EXT-X-INDEPENDENT-SEGMENTS
	// #EXT-X-DISCONTINUITY-SEQUENCE:0
	// #EXT-X-MEDIA-SEQUENCE:0
	// #EXT-X-TARGETDURATION:4
	// #EXT-X-PROGRAM-DATE-TIME:2026-11-21T01:45:00.000Z
	// #EXTINF:4.000,
	// 00000000.ts
	// #EXT-X-PROGRAM-DATE-TIME:2026-11-21T01:45:04.000Z
	// #EXTINF:4.000,
	// 00000001.ts
	// #EXT-X-PROGRAM-DATE-TIME:2026-11-21T01:45:08.000Z
	// #EXTINF:2.000,
	// 00000002.ts
	// #EXT-X-ENDLIST
}

func ExampleReadHead() {
	head := hls.ReadHead([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.000,\n00000000.ts\n"))
	fmt.Println(head.Media, head.Ended, head.Target)
	// Output: true false 4s
}

// log is the frame log of ten seconds of pictures.
func log() []*framelog.Batch {
	rec := new(synthetic.Log)
	show := synthetic.New(10)
	show.Audio, show.FPS = false, 25
	rec.Session(nil, show.Tags(), framelog.Final)
	return rec.Batches
}
