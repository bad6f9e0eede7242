package check_test

import (
	"fmt"
	"os"
	"testing/fstest"
	"time"

	"weir/check"
)

// A directory is checked as it lies: every playlist below it, and what those
// list.
func ExampleDirectory() {
	fsys := fstest.MapFS{"show/index.m3u8": {Data: []byte(`#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:2.800,
0.ts
#EXT-X-ENDLIST
`)}}
	r, err := check.Directory(fsys, ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range r.Findings {
		fmt.Println(f)
	}
	// Output:
	// error M3U-TARGETDURATION show/index.m3u8:5: EXTINF:2.800 rounds to 3, EXT-X-TARGETDURATION is 2
	// error OBJ-MISSING show/0.ts: file does not exist
}

// A Checker says what to fetch, and is told what came: over HTTP, out of an
// archive, or, here, out of a map. It follows a live playlist from version to
// version.
func ExampleChecker() {
	version := func(first int) string {
		text := fmt.Sprintf("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
		for i := first; i < first+6; i++ {
			date := time.Date(2026, 11, 21, 10, 0, 2*i, 0, time.UTC)
			text += fmt.Sprintf("#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:2.000,\n%d.ts\n", date.Format("2006-01-02T15:04:05.000Z"), i)
		}
		return text
	}
	c := check.New("live.m3u8", check.Config{Watch: true, PlaylistsOnly: true})
	now := time.Date(2026, 11, 21, 10, 0, 13, 0, time.UTC)
	for _, first := range []int{0, 1, 0} { // the third time an old version comes
		for w, ok := c.Next(now); ok; w, ok = c.Next(now) {
			c.Put(now, w, check.Object{Body: []byte(version(first))})
		}
		now = now.Add(time.Second)
	}
	for _, f := range c.Report().Findings {
		fmt.Println(f)
	}
	// Output:
	// error LIVE-SEQUENCE-BACK live.m3u8: it listed 1 to 6, and lists 0 to 5
}

// A report for people says what holds, where it is broken, and what to do.
func ExampleReport() {
	c := check.New("live.m3u8", check.Config{PlaylistsOnly: true})
	w, _ := c.Next(time.Time{})
	c.Put(time.Time{}, w, check.Object{Body: []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:2,\n0.ts\n")})
	r := c.Report()
	if err := r.WriteText(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// error M3U-VOD-ENDLIST: A playlist of type VOD ends with EXT-X-ENDLIST: it cannot change. [RFC 8216bis 6.2.1]
	//     live.m3u8: EXT-X-ENDLIST is missing
	//   → Add EXT-X-ENDLIST.
	//
	// 1 error, 0 warnings in 1 playlist, 0 segments (0:00:00 of media, 0.0 MB)
}
