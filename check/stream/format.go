package stream

import (
	"bytes"
	"encoding/binary"

	"weir/check/report"
)

// Format is one of the formats of media segments [RFC 8216bis 3.1].
type Format uint8

// The formats that are told apart.
const (
	unknown Format = iota
	TransportStream
	FragmentedMP4
	PackedAudio
	WebVTT
)

// String names a format.
func (f Format) String() string {
	return [...]string{"no format of HLS", "MPEG-TS", "fMP4", "packed audio", "WebVTT"}[f]
}

// FormatOf tells a format by its first bytes.
func FormatOf(b []byte) Format {
	switch {
	case len(b) >= 188 && b[0] == 0x47 && (len(b) < 189 || b[188] == 0x47):
		return TransportStream
	case bytes.HasPrefix(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), []byte("WEBVTT")):
		return WebVTT
	case bytes.HasPrefix(b, []byte("ID3")) || len(b) >= 2 && b[0] == 0xFF && b[1]&0xF6 == 0xF0:
		return PackedAudio
	case len(b) >= 2 && b[0] == 0x0B && b[1] == 0x77 || len(b) >= 2 && b[0] == 0xFF && b[1]&0xE0 == 0xE0:
		return PackedAudio
	case len(b) >= 8 && boxTypes[string(b[4:8])]:
		return FragmentedMP4
	case bytes.IndexByte(b[:min(len(b), 188)], 0x47) >= 0 && syncedLater(b):
		return TransportStream // damaged at its start
	}
	return unknown
}

// syncedLater tells whether a packet of a transport stream begins within the
// first packet's length.
func syncedLater(b []byte) bool {
	for i := 0; i < 188 && i+2*188 < len(b); i++ {
		if b[i] == 0x47 && b[i+188] == 0x47 && b[i+2*188] == 0x47 {
			return true
		}
	}
	return false
}

// boxTypes are the boxes that an MP4 segment or header begins with.
var boxTypes = map[string]bool{"ftyp": true, "styp": true, "moof": true, "moov": true, "sidx": true, "emsg": true, "prft": true, "free": true}

// box is one box of ISO/IEC 14496-12.
type box struct {
	name string
	body []byte
}

// boxes splits b into boxes. whole is false where one is cut or its size is
// impossible.
func boxes(b []byte) (list []box, whole bool) {
	for len(b) >= 8 && len(list) < 4096 {
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch {
		case size == 1 && len(b) >= 16:
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		case size == 0: // to the end
			size = uint64(len(b))
		}
		if size < head || size > uint64(len(b)) {
			return list, false
		}
		list = append(list, box{string(b[4:8]), b[head:size]})
		b = b[size:]
	}
	return list, len(b) == 0
}

// find returns the first box of a name.
func find(list []box, name string) (box, bool) {
	for _, x := range list {
		if x.name == name {
			return x, true
		}
	}
	return box{}, false
}

// CheckInitialization checks what EXT-X-MAP names [RFC 8216bis 3.1.2].
func CheckInitialization(b []byte, fail report.Func) {
	if FormatOf(b) == TransportStream { // a PAT and a PMT [RFC 8216bis 3.1.1]
		return
	}
	list, whole := boxes(b)
	moov, ok := find(list, "moov")
	inside, _ := boxes(moov.body)
	_, extends := find(inside, "mvex")
	switch {
	case !whole:
		fail("MP4-INIT", "its boxes are cut or damaged")
	case len(list) == 0 || list[0].name != "ftyp" || !ok:
		fail("MP4-INIT", "ftyp or moov is missing")
	case !extends:
		fail("MP4-INIT", "moov has no mvex")
	}
}

// CheckFragment checks an fMP4 segment [RFC 8216bis 3.1.2].
func CheckFragment(b []byte, fail report.Func) {
	list, whole := boxes(b)
	_, hasData := find(list, "mdat")
	fragments := 0
	for _, x := range list {
		if x.name != "moof" {
			continue
		}
		fragments++
		inside, _ := boxes(x.body)
		for _, y := range inside {
			if y.name != "traf" {
				continue
			}
			track, _ := boxes(y.body)
			if _, ok := find(track, "tfdt"); !ok {
				fail("MP4-FRAGMENT", "a traf has no tfdt")
				return
			}
		}
	}
	switch {
	case !whole:
		fail("MP4-FRAGMENT", "its boxes are cut or damaged")
	case fragments == 0 || !hasData:
		fail("MP4-FRAGMENT", "moof or mdat is missing")
	}
}

// TimestampOwner is the owner of the ID3 PRIV frame that dates packed audio
// [RFC 8216bis 3.1.3].
const TimestampOwner = "com.apple.streaming.transportStreamTimestamp"

// CheckPackedAudio looks for the timestamp at the start.
func CheckPackedAudio(b []byte, fail report.Func) {
	if !bytes.HasPrefix(b, []byte("ID3")) || !bytes.Contains(b[:min(len(b), 4096)], []byte(TimestampOwner)) {
		fail("AUD-TIMESTAMP", "it does not begin with the timestamp")
	}
}
