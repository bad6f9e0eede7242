package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"weir/media/publishing"
)

// burst is how much more than its bit rate allows a session may have sent, in
// time at that rate: encoders send what waited while the network did not take it.
const burst = 10 * time.Second

// limited holds a session to the limits of its grant, by what comes and not by
// what is declared.
type limited struct {
	publishing.Limits
	over float64 // bytes beyond the rate, until now
	at   time.Time
}

// overLimit is the end of a session that goes beyond what it was granted.
func overLimit(text string) *Refusal {
	return &Refusal{reason: "limit", clean: true, code: denied, text: text, level: slog.LevelWarn, err: errors.New(strings.TrimSuffix(text, "."))}
}

// received takes n bytes that came at now into account.
func (l *limited) received(now time.Time, n int) error {
	if l.Bitrate == 0 {
		return nil
	}
	perSecond := float64(l.Bitrate) / 8
	if !l.at.IsZero() {
		l.over = max(0, l.over-perSecond*now.Sub(l.at).Seconds())
	}
	l.at, l.over = now, l.over+float64(n)
	if l.over <= perSecond*burst.Seconds() {
		return nil
	}
	return overLimit(fmt.Sprintf("The bit rate is above the %.4g kbit/s that this stream may have: lower the encoder's.", float64(l.Bitrate)/1000))
}

// lasts tells whether a session that began at since may go on at now.
func (l *limited) lasts(since, now time.Time) error {
	if most := l.Duration(); most > 0 && now.Sub(since) >= most {
		return overLimit(fmt.Sprintf("This stream may last for %v, which is over.", most))
	}
	return nil
}

// allows tells whether what a session sends may be sent.
func (l *limited) allows(f *facts) error {
	if l.Width == 0 && len(l.Codecs) == 0 {
		return nil
	}
	for _, codec := range [...]string{f.video, f.audio} {
		if codec != "" && !l.Codecs.Allow(codec) {
			return overLimit(fmt.Sprintf("This stream may not be sent as %s: choose %s in the encoder.", codec, strings.Join(l.Codecs, " or ")))
		}
	}
	if l.Width > 0 && (max(f.width, f.height) > max(l.Width, l.Height) || min(f.width, f.height) > min(l.Width, l.Height)) {
		return overLimit(fmt.Sprintf("The picture is %dx%d, and may be %dx%d: lower the encoder's output resolution.", f.width, f.height, l.Width, l.Height))
	}
	return nil
}
