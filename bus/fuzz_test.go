package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

// FuzzParseState: any value is refused or taken apart so that putting it
// together again means the same, whatever bytes the State is of.
func FuzzParseState(f *testing.F) {
	for _, s := range []string{"", "\n", "{}", "{}\n", "null\nx", `{"owner":"a","stream":"live/alice","format":1,"closed":true}` + "\n{\"n\":1}\n\x00\xff", `{"owner":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		head, state, err := parseState(value)
		if err != nil {
			return
		}
		again, err := appendState(head, state)
		if err != nil {
			t.Fatal(err)
		}
		head2, state2, err := parseState(again)
		if err != nil || head2 != head || !bytes.Equal(state2, state) {
			t.Errorf("%+v %q became %+v %q: %v", head, state, head2, state2, err)
		}
	})
}

// FuzzReader: whatever stands on a log, a reader never goes back, never hands
// out more than came, and what it hands out is whole.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x01\x00\x01\x01\x02"))
	f.Add([]byte("\x00\x01\x01\x07\x00\x01\x02\x04\x01\x02\x00\x08\x02\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var came, got int
		var epoch, number uint64
		r := reader{
			foreign: func(uint64, error) {},
			fn: func(b *framelog.Batch, _ bool) error {
				if b.Flags.Has(framelog.More) {
					t.Errorf("half a batch: %v", b.Header)
				}
				final := b.Flags.Has(framelog.Final)
				if !final && (b.Epoch < epoch || b.Epoch == epoch && b.Number < number) {
					t.Errorf("%v comes behind epoch %d, number %d", b.Header, epoch, number)
				}
				epoch, number = b.Epoch, b.Number
				got += len(b.Tags)
				return nil
			},
		}
		for seq := uint64(1); len(in) >= 4; seq++ {
			h := framelog.Header{Session: "s", Epoch: uint64(in[1]), Number: uint64(in[2]), Flags: framelog.Flags(in[3] & 0x7f)}
			m := jet.Message{Seq: seq, Data: in[:4], Header: nats.Header{
				framelog.HeaderName:                 {h.String()},
				jetstream.ExpectedLastSubjSeqHeader: {strconv.Itoa(int(binary.BigEndian.Uint16(in)) % 8)},
			}}
			came += len(m.Data)
			if err := r.message(m); err != nil && !errors.Is(err, framelog.ErrVersion) {
				t.Fatal(err)
			}
			in = in[4:]
		}
		if got > came {
			t.Errorf("%d bytes came, %d were handed out", came, got)
		}
	})
}
