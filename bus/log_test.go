package bus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

func TestAppendFillsTheHeader(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	all := appendBatches(t, s, 1000, 1, 2, 3, 4, 5, 6)
	for i, x := range all {
		if x.Session != s.ID() || x.Epoch != 1 || x.Number != uint64(i+1) || x.Seq != uint64(i+1) {
			t.Errorf("batch %d was stored as %v at %d", i+1, x.Header, x.Seq)
		}
	}
	var keys []uint64
	for _, x := range all {
		keys = append(keys, x.LastKey)
	}
	// Batches 1 and 5 are key batches; LastKey never names the batch itself.
	if want := []uint64{0, 1, 1, 1, 1, 5}; !slices.Equal(keys, want) {
		t.Errorf("last keys %v, want %v", keys, want)
	}
	got, missed := readBatches(t, b, s.Broadcast(), framelog.Position{}, 6)
	if d := diff(all, got); d != "" {
		t.Errorf("read what was not written (-written +read):\n%s", d)
	}
	if slices.Contains(missed, true) {
		t.Errorf("missed %v, but nothing was", missed)
	}
}

func TestSplitBatchesAreJoined(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	// One that just fits, one byte more, the largest message of one tag.
	var all []*framelog.Batch
	for i, size := range []int{partBytes, partBytes + 1, 8 << 20, 100} {
		all = append(all, appendBatches(t, s, size, 4*i+1)...)
	}
	got, _ := readBatches(t, b, s.Broadcast(), framelog.Position{}, len(all))
	if d := diff(all, got); d != "" {
		t.Errorf("read what was not written (-written +read):\n%.500s", d)
	}
	if all[3].Number != 1+2+16+1 {
		t.Errorf("the last batch has number %d: every message has one of its own", all[3].Number)
	}
	// A reader that joins does so at the first message of a key batch.
	if all[3].LastKey != all[1].Seq+1 {
		t.Errorf("LastKey is %d, the key batch begins at %d", all[3].LastKey, all[1].Seq+1)
	}
}

func TestAppendRefusesWhatNoReaderWouldTake(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	if err := s.Append(within(t, time.Second), &framelog.Batch{Tags: make([]byte, maxBatch+1)}); err == nil {
		t.Error("a batch above the bound was stored")
	}
	appendBatches(t, s, 10, 1) // and the session goes on
}

// TestResumeAnywhere is the property that segmenting twice rests on: whoever
// reads, and from wherever, gets the same batches.
func TestResumeAnywhere(t *testing.T) {
	b := embedded(t)
	other := openOther(t, b) // shares the stream, so that sequences have holes
	s := openSession(t, b)
	for n := 1; n <= 12; n++ {
		size := 100
		if n%5 == 0 {
			size = 2*partBytes + n
		}
		appendBatches(t, s, size, n)
		appendBatches(t, other, 10, n)
	}
	if err := s.End(within(t, 5*time.Second), false); err != nil {
		t.Fatal(err)
	}
	s = openSession(t, b)
	appendBatches(t, s, 100, 1, 2)
	if err := s.End(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	all := logOf(t, b, s.Broadcast())
	if f := flagsOf(all); f != "bk - - - k - - - k - - - el f bk - x" {
		t.Fatalf("the log holds %s", f)
	}
	for i := range all[:len(all)-1] {
		// As this release saves a position, and as the one before did.
		for _, after := range []framelog.Position{all[i].Position(), {Seq: all[i].Seq}} {
			got, missed := readBatches(t, b, s.Broadcast(), after, len(all)-i-1)
			if slices.Contains(missed, true) {
				t.Errorf("from %+v: missed %v, but nothing was", after, missed)
			}
			if d := diff(all[i+1:], got); d != "" {
				t.Errorf("from %+v (-want +got):\n%.300s", after, d)
			}
		}
	}
}

func openOther(t *testing.T, b *Bus) *Session {
	t.Helper()
	name := live
	name.Name = "bob"
	s, err := b.OpenSession(within(t, 10*time.Second), "", name, time.Now(), Takeover)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReaderIsToldWhatAgedOut(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	all := appendBatches(t, s, 100, 1, 2, 3)
	between := appendBatches(t, openOther(t, b), 10, 1)[0]
	all = append(all, appendBatches(t, s, 100, 4, 5, 6)...)
	if err := b.shards[0].Purge(within(t, 5*time.Second), jetstream.WithPurgeSequence(all[3].Seq)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		after  uint64
		missed []bool
	}{
		{"from the beginning, which is gone", 0, []bool{true, false, false}},
		{"from the middle of what is gone", all[1].Seq, []bool{true, false, false}},
		{"from the last that is gone: nothing is missing", all[2].Seq, []bool{false, false, false}},
		{"from right before the first that is there: nothing is missing", between.Seq, []bool{false, false, false}},
		{"from one that is there", all[3].Seq, []bool{false, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, missed := readBatches(t, b, s.Broadcast(), framelog.Position{Seq: test.after}, len(test.missed))
			if !slices.Equal(missed, test.missed) {
				t.Errorf("missed %v, want %v", missed, test.missed)
			}
		})
	}
	// All has aged out, and the session goes on: only a reader that has seen
	// batch 6 knows that none is missing.
	got := make(chan bool, 10)
	stop := running(t, func(ctx context.Context) error {
		err := b.Read(ctx, s.Broadcast(), Source, framelog.Position{Seq: all[4].Seq}, func(_ *framelog.Batch, missed bool) error {
			got <- missed
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	if <-got {
		t.Error("batch 6 comes right behind 5")
	}
	if err := b.shards[0].Purge(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	all = append(all, appendBatches(t, s, 100, 7)...)
	if <-got {
		t.Error("batch 7 comes right behind 6, though 6 had aged out meanwhile")
	}
	stop()
	if _, missed := readBatches(t, b, s.Broadcast(), framelog.Position{Seq: all[4].Seq}, 1); !missed[0] {
		t.Error("a reader that has not seen 6 cannot know that 7 follows")
	}
}

// TestForeignMessagesAreSkipped: anybody with access to NATS may publish to
// the subject. That must neither stop readers nor fence the session.
func TestForeignMessagesAreSkipped(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	all := appendBatches(t, s, 100, 1)
	subject, _ := b.topic(s.Broadcast(), Source)
	for _, m := range []*nats.Msg{
		{Subject: subject, Data: []byte("hello")},
		{Subject: subject, Header: nats.Header{framelog.HeaderName: {"1 x y"}}},
	} {
		if _, err := b.conn.JetStream().PublishMsg(within(t, 5*time.Second), m); err != nil {
			t.Fatal(err)
		}
	}
	all = append(all, appendBatches(t, s, 100, 2)...)
	got, missed := readBatches(t, b, s.Broadcast(), framelog.Position{}, 2)
	if d := diff(all, got); d != "" || missed[1] {
		t.Errorf("missed %v (-want +got):\n%s", missed, d)
	}
}

// TestNewerFormatStopsTheReader: it must not make something of what it does
// not understand.
func TestNewerFormatStopsTheReader(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	h := strings.Replace(framelog.Header{Session: s.ID(), Epoch: 1, Number: 2}.String(), "1 ", "2 ", 1)
	if _, err := s.source.shard.Write(within(t, 5*time.Second), jet.Write{Subject: s.source.subject, Header: jet.Header{Name: framelog.HeaderName, Value: h}, After: s.source.last}); err != nil {
		t.Fatal(err)
	}
	err := b.Read(within(t, 5*time.Second), s.Broadcast(), Source, framelog.Position{}, func(*framelog.Batch, bool) error { return nil })
	if !errors.Is(err, framelog.ErrVersion) {
		t.Errorf("read returned %v", err)
	}
	if err := s.Append(within(t, 5*time.Second), batch(2, 10)); !errors.Is(err, ErrFenced) {
		t.Errorf("append behind a newer release's message returned %v", err)
	}
}

// TestReaderMessages drives the reader with logs that an orderly writer does
// not make.
func TestReaderMessages(t *testing.T) {
	type msg struct {
		prev, seq, epoch, number uint64
		flags                    framelog.Flags
		data                     string
	}
	for _, test := range []struct {
		name string
		in   []msg
		want string
	}{
		{"a session that died inside a batch",
			[]msg{{0, 1, 1, 1, framelog.Begin | framelog.Key | framelog.More, "a"}, {1, 5, 1, 2, framelog.More, "b"},
				{5, 6, 1, 3, framelog.End | framelog.Lost, ""}, {6, 7, 2, 0, framelog.Fence, ""}, {7, 8, 2, 1, framelog.Begin | framelog.Key, "c"}},
			"el f bk:c"},
		{"a fenced session's batch", []msg{{0, 1, 2, 0, framelog.Fence, ""}, {1, 2, 1, 7, 0, "x"}, {2, 3, 2, 1, framelog.Begin, "a"}}, "f b:a"},
		{"a number twice", []msg{{0, 1, 1, 1, framelog.Begin, "a"}, {1, 2, 1, 1, framelog.Begin, "a"}, {2, 3, 1, 2, 0, "b"}}, "b:a -:b"},
		{"a number too many: the server lost its tail", []msg{{0, 1, 1, 1, framelog.Begin, "a"}, {1, 2, 1, 3, 0, "b"}}, "b:a missed -:b"},
		{"a hole inside a split batch", []msg{{0, 1, 1, 1, framelog.Begin | framelog.More, "a"}, {2, 3, 1, 3, 0, "c"}}, "missed -:c"},
		{"the end of a broadcast is a decision, whatever its epoch", []msg{{0, 1, 2, 5, framelog.Begin, "a"}, {1, 2, 0, 1, framelog.Final, ""}}, "b:a x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			r := reader{fn: func(b *framelog.Batch, missed bool) error {
				if missed {
					got = append(got, "missed")
				}
				s := b.Flags.String()
				if len(b.Tags) > 0 {
					s += ":" + string(b.Tags)
				}
				got = append(got, s)
				return nil
			}}
			for _, m := range test.in {
				h := framelog.Header{Session: "s", Epoch: m.epoch, Number: m.number, Flags: m.flags}
				err := r.message(jet.Message{Seq: m.seq, Data: []byte(m.data), Header: nats.Header{
					framelog.HeaderName:                 {h.String()},
					jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(m.prev, 10)},
				}})
				if err != nil {
					t.Fatal(err)
				}
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("read %q, want %q", s, test.want)
			}
		})
	}
}
