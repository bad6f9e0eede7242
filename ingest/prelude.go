package ingest

import (
	"bytes"
	"fmt"
	"slices"

	"weir/media"
	"weir/media/h264"
	"weir/remux/flv"
)

// header is one tag of the prelude: what a decoder must have seen before it
// can start anywhere.
type header struct {
	of   headerID
	body []byte
}

// tooLarge tells whether nobody can use a header: it is passed on, and not
// repeated.
func tooLarge(id headerID, body []byte) bool {
	if id.tag == flv.TagScript {
		return len(body) > maxMetadata
	}
	return len(body) > maxConfig
}

// remember puts a header in force in place of the one it replaces.
func (b *Batcher) remember(id headerID, body []byte) error {
	i := slices.IndexFunc(b.headers, func(h header) bool { return h.of == id })
	old := 0
	if i >= 0 {
		old = flv.TagOverhead + len(b.headers[i].body)
	}
	if tooLarge(id, body) {
		if i >= 0 {
			b.headers = slices.Delete(b.headers, i, i+1)
			b.prelude -= old
		}
		return nil
	}
	total := b.prelude - old + flv.TagOverhead + len(body)
	if total > maxPrelude || i < 0 && len(b.headers) == maxHeaders {
		return fmt.Errorf("%w: %d bytes in %d headers, at most %d in %d", ErrPrelude, total, len(b.headers), maxPrelude, maxHeaders)
	}
	b.prelude = total
	if i < 0 {
		b.headers = append(b.headers, header{of: id})
		i = len(b.headers) - 1
	}
	if old > 0 && id.tag != flv.TagScript && !bytes.Equal(b.headers[i].body, body) {
		b.sent.configure()
	}
	b.headers[i].body = append(b.headers[i].body[:0], body...)
	if id == avcHeader {
		b.lengthSize = h264.PartLengthSize
		if v, err := flv.ParseVideo(body); err == nil && v.Codec == flv.AVC && len(v.Body) > 4 && v.Body[0] == 1 {
			b.lengthSize = int(v.Body[4]&3) + 1 // ISO/IEC 14496-15, 5.3.3.1: lengthSizeMinusOne
		}
	}
	return nil
}

// soundHeader is the sequence header of the sound that is packaged.
var soundHeader = headerID{tag: flv.TagAudio, packet: flv.SequenceHeader}

// changesSound tells whether a header says something else of the sound than the
// one in force: a segment ends in front of it.
func (b *Batcher) changesSound(id headerID, body []byte) bool {
	i := slices.IndexFunc(b.headers, func(h header) bool { return h.of == id })
	if id != soundHeader || i < 0 || bytes.Equal(b.headers[i].body, body) {
		return false
	}
	before, after := soundOf(b.headers[i].body), soundOf(body)
	return before != nil && after != nil && !media.SameCodec(before, after)
}

// soundOf reads a sequence header of AAC, nil where it is none.
func soundOf(body []byte) media.Codec {
	a, err := flv.ParseAudio(body)
	if err != nil || a.Codec != flv.AAC {
		return nil
	}
	c, err := media.ParseCodec(media.CodecAAC, a.Body)
	if err != nil {
		return nil
	}
	return c
}

// avcHeader is the sequence header of the pictures that are packaged.
var avcHeader = headerID{tag: flv.TagVideo, packet: flv.SequenceHeader}

// avcHead begins the body of one [FLV E.4.3.1].
var avcHead = []byte{0x17, 0, 0, 0, 0}

// rememberInBand has the sequence header in force say what the parameter sets
// do that come in band: whoever joins at a key batch knows no others.
func (b *Batcher) rememberInBand(body []byte) error {
	v, err := flv.ParseVideo(body)
	if err != nil || v.Codec != flv.AVC {
		return nil
	}
	i := slices.IndexFunc(b.headers, func(h header) bool { return h.of == avcHeader })
	head, record := avcHead, []byte(nil)
	if i >= 0 {
		h, err := flv.ParseVideo(b.headers[i].body)
		if err != nil || h.Codec != flv.AVC {
			return nil
		}
		record = h.Body
		head = b.headers[i].body[:len(b.headers[i].body)-len(record)]
	}
	now := h264.InBand(record, v.Body, b.lengthSize)
	if len(now) == len(record) && (len(now) == 0 || &now[0] == &record[0]) {
		return nil
	}
	return b.remember(avcHeader, slices.Concat(head, now))
}
