package ingest

import (
	"weir/media/mp3"
	"weir/remux/flv"
)

// soundFormat is what the last sound was in: its codec and, where each frame
// says it, its configuration. Each change of it begins a segment, as another
// sequence header does.
type soundFormat struct {
	codec flv.AudioCodec
	mp3   mp3.Config
	known bool
}

// note takes account of a message with sound, and returns how many times it
// changes.
func (f *soundFormat) note(body []byte) (changes int) {
	a, err := flv.ParseAudio(body)
	if err != nil || a.Track != 0 {
		return 0
	}
	if a.Codec != flv.MP3 && a.Codec != flv.MP3At8kHz {
		return f.set(soundFormat{codec: a.Codec, known: true})
	}
	for p := a.Body; len(p) > 0; {
		h, err := mp3.ParseFrame(p)
		if err != nil { // readers go on with the first frame that is one
			at := mp3.Find(p)
			if at < 0 {
				break
			}
			p = p[at:]
			continue
		}
		changes += f.set(soundFormat{codec: flv.MP3, mp3: h.Config, known: true})
		p = p[h.Size:]
	}
	return changes
}

func (f *soundFormat) set(to soundFormat) (changes int) {
	if f.known && *f != to {
		changes = 1
	}
	*f = to
	return changes
}
