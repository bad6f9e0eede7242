//go:build unix

package testweir

import (
	"bufio"
	"image"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
)

// MediaPlaylist is what viewers read of a media playlist.
type MediaPlaylist struct {
	Sequence uint64
	Segments []ListedSegment
	Ended    bool
}

// ListedSegment is a segment with the tags before it, parted by blanks.
type ListedSegment struct{ URI, Tags string }

// Duration is a segment's EXTINF.
func (s ListedSegment) Duration() time.Duration {
	for tag := range strings.SplitSeq(s.Tags, " ") {
		if v, ok := strings.CutPrefix(tag, "#EXTINF:"); ok {
			d, _ := time.ParseDuration(strings.TrimSuffix(v, ",") + "s") // a bad one lasts for no time
			return d
		}
	}
	return 0
}

// ParseMediaPlaylist reads a media playlist. It is a reader of its own: what
// weir writes is not judged by what weir reads.
func ParseMediaPlaylist(body []byte) (p MediaPlaylist) {
	var tags []string
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		line := lines.Text()
		n, isSequence := strings.CutPrefix(line, "#EXT-X-MEDIA-SEQUENCE:")
		switch {
		case isSequence:
			p.Sequence, _ = strconv.ParseUint(n, 10, 64) // a bad one shows as going back
		case line == "#EXT-X-ENDLIST":
			p.Ended = true
		case strings.HasPrefix(line, "#EXTINF"), strings.HasPrefix(line, "#EXT-X-DISCONTINUITY") && !strings.Contains(line, "SEQUENCE"),
			strings.HasPrefix(line, "#EXT-X-PROGRAM-DATE-TIME"), strings.HasPrefix(line, "#EXT-X-GAP"):
			tags = append(tags, line)
		case line != "" && line[0] != '#':
			p.Segments = append(p.Segments, ListedSegment{line, strings.Join(tags, " ")})
			tags = nil
		}
	}
	return p
}

// Viewer polls a live playlist, and holds against it whatever no viewer may
// see: an answer other than 200 once there was one, a media sequence or an end
// that goes back, a sequence number with two contents, a segment that is not
// there. Its figures may be read when it has left.
type Viewer struct {
	URL   string
	Polls int
	Seen  map[uint64]ListedSegment
	Last  MediaPlaylist
	Grown int           // how often the list has grown
	Pause time.Duration // the longest between two such times

	t      testing.TB
	every  time.Duration
	stop   chan struct{}
	done   chan struct{}
	news   time.Time // when the list last grew
	failed int
}

// Watch starts a viewer of a playlist's URL that looks every 20 ms.
func Watch(t testing.TB, url string) *Viewer { return WatchEvery(t, 20*time.Millisecond, url) }

// WatchEvery is Watch, less often.
func WatchEvery(t testing.TB, every time.Duration, url string) *Viewer {
	v := &Viewer{URL: url, Seen: make(map[uint64]ListedSegment), t: t, every: every, stop: make(chan struct{}), done: make(chan struct{})}
	go v.run()
	t.Cleanup(func() { v.Leave() })
	return v
}

// Leave ends the viewer, after which its figures may be read.
func (v *Viewer) Leave() *Viewer {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	<-v.done
	return v
}

func (v *Viewer) run() {
	defer close(v.done)
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			v.poll() // what came last
			return
		case <-tick.C:
			v.poll()
		}
	}
}

func (v *Viewer) fail(format string, args ...any) {
	if v.failed++; v.failed <= 5 {
		v.t.Errorf("viewer: "+format, args...)
	}
}

func (v *Viewer) poll() {
	code, body := Get(v.URL)
	if code != http.StatusOK {
		if len(v.Seen) > 0 {
			v.fail("%s answers %d", v.URL, code)
		}
		return
	}
	v.Polls++
	p := ParseMediaPlaylist(body)
	end, before := p.Sequence+uint64(len(p.Segments)), v.Last.Sequence+uint64(len(v.Last.Segments))
	if p.Sequence < v.Last.Sequence || end < before || v.Last.Ended && !p.Ended {
		v.fail("the playlist went back: %d to %d, ended %t; was %d to %d, %t", p.Sequence, end, p.Ended, v.Last.Sequence, before, v.Last.Ended)
	}
	if end > before {
		if now := time.Now(); v.Grown > 0 {
			v.Pause = max(v.Pause, now.Sub(v.news))
		}
		v.news = time.Now()
		v.Grown++
	}
	for i, s := range p.Segments {
		v.look(p.Sequence+uint64(i), s)
	}
	v.Last = p
}

// look takes note of a segment under its number.
func (v *Viewer) look(number uint64, s ListedSegment) {
	if known, ok := v.Seen[number]; ok {
		if known != s {
			v.fail("media sequence %d forked: %v, was %v", number, s, known)
		}
		return
	}
	v.Seen[number] = s
	if strings.Contains(s.Tags, "#EXT-X-GAP") {
		return // it says that it is not there (RFC 8216bis, 4.4.4.7)
	}
	if code, _ := Get(v.URL[:strings.LastIndexByte(v.URL, '/')+1] + s.URI); code != http.StatusOK {
		v.fail("%s was listed and answers %d", s.URI, code)
	}
}

// Shown is the number of the frame that a screenshot shows. A browser with much
// to do may not have drawn one yet.
func Shown(t testing.TB, screenshot func() image.Image) (frame int) {
	t.Helper()
	Eventually(t, 10*time.Second, "a screenshot shows a frame's number", func() (ok bool) {
		var err error
		frame, err = testmedia.ReadCounter(screenshot())
		return err == nil
	})
	return frame
}
