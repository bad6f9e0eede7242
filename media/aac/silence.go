package aac

import "fmt"

// element is a syntactic element of a raw_data_block that carries channels,
// by its id_syn_ele (ISO/IEC 14496-3, table 4.85), and its tag.
type element struct{ id, tag uint8 }

// The id_syn_ele values that a silent frame is made of.
const (
	idSCE = 0 // single_channel_element
	idCPE = 1 // channel_pair_element
	idLFE = 3 // lfe_channel_element
	idEND = 7
)

// layouts are the elements of the channelConfigurations in the order of ISO/IEC
// 14496-3, table 1.19. Tags count the elements of one id.
var layouts = [16][]element{
	1:  {{idSCE, 0}},
	2:  {{idCPE, 0}},
	3:  {{idSCE, 0}, {idCPE, 0}},
	4:  {{idSCE, 0}, {idCPE, 0}, {idSCE, 1}},
	5:  {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}},
	6:  {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}, {idLFE, 0}},
	7:  {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}, {idCPE, 2}, {idLFE, 0}},
	11: {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}, {idSCE, 1}, {idLFE, 0}},
	12: {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}, {idCPE, 2}, {idLFE, 0}},
	14: {{idSCE, 0}, {idCPE, 0}, {idCPE, 1}, {idLFE, 0}, {idCPE, 2}},
}

// AppendSilence appends a raw_data_block (ISO/IEC 14496-3, 4.4.2.1) that
// decodes to FrameLength samples of digital silence for each channel: all
// scale factor bands are zero (max_sfb = 0), so that nothing of it is coded.
// What was heard before fades out within it, by the overlap of the filter bank.
//
// For HE-AAC it carries no SBR payload: the decoder then upsamples the core
// alone (4.6.18.1), and the stream's own SBR header, with the tables that the
// frames after the silence need, is not replaced by one of ours.
//
// The error wraps ErrADTS where the object type is none of Main, LC, SSR and
// LTP, or the channel configuration names no elements.
func (c Config) AppendSilence(dst []byte) ([]byte, error) {
	elements := c.program
	if c.ChannelConfig != 0 {
		elements = layouts[c.ChannelConfig&15]
	}
	if c.ObjectType < Main || c.ObjectType > LTP || len(elements) == 0 {
		return dst, fmt.Errorf("%w: no silent frame of object type %d with channel configuration %d", ErrADTS, c.ObjectType, c.ChannelConfig)
	}
	w := bitWriter{dst: dst}
	for _, e := range elements {
		w.put(3, uint32(e.id))
		w.put(4, uint32(e.tag))
		if e.id == idCPE {
			w.put(1, 0) // common_window
			w.silentChannel()
		}
		w.silentChannel()
	}
	w.put(3, idEND)
	return w.align(), nil
}

// silentChannel writes an individual_channel_stream (4.4.2.7) without a single
// scale factor band: section_data, scale_factor_data and spectral_data are
// empty.
func (w *bitWriter) silentChannel() {
	w.put(8, 0) // global_gain
	// ics_info (4.4.2.3): ics_reserved_bit, window_sequence = ONLY_LONG_SEQUENCE
	// (2), window_shape, max_sfb (6), predictor_data_present
	w.put(11, 0)
	w.put(3, 0) // pulse_data_present, tns_data_present, gain_control_data_present
}

// bitWriter appends bits to a slice, most significant bit first.
type bitWriter struct {
	dst  []byte
	word uint32 // the bits that are no whole byte yet, in its low end
	n    int    // how many they are
}

// put appends the n low bits of v, at most 24.
func (w *bitWriter) put(n int, v uint32) {
	w.word, w.n = w.word<<n|v&(1<<n-1), w.n+n
	for w.n >= 8 {
		w.n -= 8
		w.dst = append(w.dst, byte(w.word>>w.n))
	}
}

// align fills the last byte with zeros and returns the slice.
func (w *bitWriter) align() []byte {
	if w.n > 0 {
		w.put(8-w.n, 0)
	}
	return w.dst
}
