package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/media/publishing"
)

// FormatLimits writes limits as options of a key file: bitrate=8000000
// duration=2h0m0s size=1920x1080 codecs=avc1,mp4a sessions=2.
func FormatLimits(l publishing.Limits) string {
	var all []string
	add := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(l.Bitrate > 0, "bitrate=%d", l.Bitrate)
	add(l.DurationSeconds > 0, "duration=%v", l.Duration())
	add(l.Width > 0, "size=%dx%d", l.Width, l.Height)
	add(len(l.Codecs) > 0, "codecs=%s", strings.Join(l.Codecs, ","))
	add(l.Sessions > 0, "sessions=%d", l.Sessions)
	return strings.Join(all, " ")
}

// setLimit sets one of those options, and tells whether it is one.
func (r *Rule) setLimit(name, value string) (is bool, err error) {
	l := &r.Limits
	switch name {
	case "bitrate":
		l.Bitrate, err = strconv.ParseInt(value, 10, 64)
	case "duration":
		var d time.Duration
		d, err = time.ParseDuration(value)
		l.DurationSeconds = int64(d / time.Second)
	case "size":
		l.Width, l.Height, err = ParseSize(value)
	case "codecs":
		l.Codecs = strings.Split(value, ",")
	case "sessions":
		l.Sessions, err = strconv.Atoi(value)
	default:
		return false, nil
	}
	if err != nil { // which may repeat what stands there
		err = fmt.Errorf("%s is not as in bitrate=8000000 duration=2h size=1920x1080 codecs=avc1,mp4a sessions=2", name)
	}
	return true, err
}

// ParseSize reads 1920x1080.
func ParseSize(text string) (width, height int, err error) {
	w, h, _ := strings.Cut(text, "x")
	if width, err = strconv.Atoi(w); err == nil {
		height, err = strconv.Atoi(h)
	}
	if err != nil || width <= 0 || height <= 0 {
		return 0, 0, errors.New("a size is written as in 1920x1080")
	}
	return width, height, nil
}
