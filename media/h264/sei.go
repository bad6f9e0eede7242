package h264

import "bytes"

// recoveryPoint is the payloadType of a recovery point SEI message (ITU-T
// H.264, D.1.8).
const recoveryPoint = 6

// maxSEI is how far into an SEI NAL unit messages are looked for, in bytes:
// those before a recovery point are timing and captions.
const maxSEI = 4 << 10

// hasRecoveryPoint tells whether an SEI NAL unit holds a recovery point: a
// picture from which on decoding can start, though it is no IDR picture
// (7.3.2.3.1). It reads the messages' headers only and allocates nothing.
func hasRecoveryPoint(nal []byte) bool {
	p := nal[1:min(len(nal), maxSEI)]
	for len(p) > 2 { // a message of a byte at least, and rbsp_trailing_bits
		kind, n := seiNumber(p)
		p = p[n:]
		size, n := seiNumber(p)
		p = p[n:]
		if kind == recoveryPoint {
			return size > 0 && len(p) > 0
		}
		p = skipEscaped(p, size)
	}
	return false
}

// seiNumber reads a payloadType or payloadSize: bytes of 255, and one that is
// less.
func seiNumber(p []byte) (v, n int) {
	for n < len(p) {
		v += int(p[n])
		n++
		if p[n-1] != 0xff {
			break
		}
	}
	return v, n
}

var emulation = []byte{0, 0, 3}

// skipEscaped passes size bytes of payload and the emulation prevention bytes
// among them. A payload whose beginning is part of such a sequence may be off
// by a byte: then what follows reads as no recovery point, or as a wrong one,
// which FLV's own key flag is no better than.
func skipEscaped(p []byte, size int) []byte {
	for {
		at := bytes.Index(p[:min(len(p), size+1)], emulation)
		if at < 0 || at+2 > size {
			return p[min(len(p), size):]
		}
		// The two zeros are payload, the 3 behind them is not.
		p, size = p[at+3:], size-at-2
	}
}
