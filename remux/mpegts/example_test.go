package mpegts_test

import (
	"fmt"

	"weir/media"
	"weir/media/aac"
	"weir/remux/mpegts"
)

// A segment is the tables, its frames, and what is still to be flushed. The
// next one goes on where this one's counters end.
func Example() {
	audio, err := aac.ParseConfig([]byte{0x11, 0x90}) // AAC-LC, 48 kHz, stereo
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mpegts.NewMuxer(mpegts.Config{AAC: &audio}, mpegts.Continuity{})
	if err != nil {
		fmt.Println(err)
		return
	}
	segment := m.AppendTables(nil)
	for i := range int64(3) {
		at := media.Clock + i*1920 // 1024 samples at 48 kHz last 1920 ticks of 90 kHz
		if segment, err = m.AppendFrame(segment, &media.Frame{Kind: media.Audio, DTS: at, PTS: at, Data: []byte{0x21, 0x10}}); err != nil {
			fmt.Println(err)
			return
		}
	}
	segment = m.Flush(segment)

	for e := range mpegts.Demux(segment) {
		switch e.Type {
		case mpegts.EventPMT:
			fmt.Println("streams:", len(e.PMT.Streams))
		case mpegts.EventPES:
			fmt.Println("PES at", e.PES.PTS, "with", len(e.PES.Data), "bytes")
		case mpegts.EventFault:
			fmt.Println(e.Err)
		}
	}
	fmt.Println(len(segment)/mpegts.PacketSize, "packets")
	// Output:
	// streams: 1
	// PES at 90000 with 9 bytes
	// PES at 91920 with 18 bytes
	// 4 packets
}
