package flv_test

import (
	"errors"
	"fmt"
	"io"

	"weir/remux/flv"
)

// The unit of the frame log is the tag: a run of them, behind 13 bytes, is an
// FLV file, and any reader of one reads the other.
func Example() {
	var run []byte
	run = flv.AppendTag(run, flv.Tag{Type: flv.TagVideo, Timestamp: 0, Data: []byte{0x17, 1, 0, 0, 80, 0, 0, 0, 1, 0x65}})
	run = flv.AppendTag(run, flv.Tag{Type: flv.TagAudio, Timestamp: 23, Data: []byte{0xaf, 1, 0x21}})

	for len(run) > 0 {
		tag, n, err := flv.NextTag(run)
		if err != nil {
			fmt.Println(err)
			return
		}
		run = run[n:]
		fmt.Println(tag.Type, tag.Timestamp, len(tag.Data))
		if tag.Type == flv.TagVideo {
			v, err := flv.ParseVideo(tag.Data)
			fmt.Println("key frame:", v.FrameType == flv.FrameKey, "composition time in ms:", v.CTS, err)
		}
	}
	// Output:
	// video 0 10
	// key frame: true composition time in ms: 80 <nil>
	// audio 23 3
}

func ExampleReader() {
	r, w := io.Pipe()
	go func() {
		file := append([]byte{'F', 'L', 'V', 1, 5, 0, 0, 0, 9}, 0, 0, 0, 0)
		_, _ = w.Write(flv.AppendTag(file, flv.Tag{Type: flv.TagAudio, Timestamp: 7, Data: []byte{0xaf, 0}}))
		_ = w.Close()
	}()
	in := flv.NewReader(r, 1<<20)
	for {
		tag, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(tag.Type, tag.Timestamp, tag.Data)
	}
	// Output: audio 7 [175 0]
}
