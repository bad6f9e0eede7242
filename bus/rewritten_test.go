package bus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"weir/media/framelog"
)

// follow reads until the test ends, and tells of each batch its number, with a
// "!" before it where some were missed.
func follow(t *testing.T, b *Bus, broadcast string, after framelog.Position) (next func() string) {
	t.Helper()
	got := make(chan string, 100)
	running(t, func(ctx context.Context) error {
		err := b.Read(ctx, broadcast, Source, after, func(x *framelog.Batch, missed bool) error {
			n, _, _ := strings.Cut(strings.TrimPrefix(string(x.Tags), "batch "), " ")
			if x.Flags.Has(framelog.Final) {
				n = "end"
			}
			if missed {
				n = "!" + n
			}
			got <- n
			return nil
		})
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	return func() string {
		select {
		case n := <-got:
			return n
		case <-time.After(patience):
			return "nothing"
		}
	}
}

// expect fails unless the reader gets exactly these, in order.
func expect(t *testing.T, who string, next func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(); got != w {
			t.Errorf("%s gets %s, want %s", who, got, w)
			return
		}
	}
}

// TestLogIsMadeAnew: the stream that held the log is gone, and made anew: its
// sequences begin at 1 again. Whoever was reading goes on with what comes,
// and is told exactly if something is missing; and an end is an end whatever
// its sequence.
func TestLogIsMadeAnew(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	s := openSession(t, b)
	other := openOther(t, b)
	appendBatches(t, other, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	appendBatches(t, s, 100, 1, 2, 3)
	log := logOf(t, b, s.Broadcast())
	there := follow(t, b, s.Broadcast(), framelog.Position{})
	expect(t, "who is there", there, "1", "2", "3")

	if err := b.conn.JetStream().DeleteStream(within(t, 5*time.Second), "WEIR_LOG_0"); err != nil {
		t.Fatal(err)
	}
	appendBatches(t, s, 100, 4, 5)
	expect(t, "who was there", there, "4", "5")
	after3 := follow(t, b, s.Broadcast(), log[2].Position())
	expect(t, "who has a State behind 3", after3, "4", "5")
	after2 := follow(t, b, s.Broadcast(), log[1].Position())
	expect(t, "who has a State behind 2", after2, "!4", "5")
	older := follow(t, b, s.Broadcast(), framelog.Position{Seq: log[2].Seq})
	expect(t, "who has the State of an older release", older, "!4", "5")
	if err := s.End(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	for who, next := range map[string]func() string{"who was there": there, "behind 3": after3, "behind 2": after2, "an older release": older} {
		expect(t, who, next, "end")
	}
}

// TestLogGoesBack: a power cut takes the server back to what it had on disk,
// seconds ago. Other messages then get the sequences that readers have seen.
func TestLogGoesBack(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	s := openSession(t, b)
	appendBatches(t, s, 100, 1, 2, 3)
	n.stop()
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(n.opts.StoreDir)); err != nil {
		t.Fatal(err)
	}
	n.start()
	appendBatches(t, s, 100, 4, 5, 6)
	log := logOf(t, b, s.Broadcast())
	there := follow(t, b, s.Broadcast(), framelog.Position{})
	expect(t, "who is there", there, "1", "2", "3", "4", "5", "6")

	n.stop()
	n.opts.StoreDir = old
	n.start()
	appendBatches(t, s, 100, 7) // where 4 stood
	expect(t, "who was there", there, "7")
	expect(t, "who has a State behind 6", follow(t, b, s.Broadcast(), log[5].Position()), "7")
	expect(t, "who has a State behind 5", follow(t, b, s.Broadcast(), log[4].Position()), "!7")
	expect(t, "who has a State behind 2", follow(t, b, s.Broadcast(), log[1].Position()), "3", "!7")
	appendBatches(t, s, 100, 8, 9, 10, 11)
	expect(t, "who was there", there, "8", "9", "10", "11")
	// The log is longer by now than it was: that a sequence is there does not
	// mean that it is the same.
	expect(t, "who comes late, behind 6", follow(t, b, s.Broadcast(), log[5].Position()), "7", "8", "9", "10", "11")
	expect(t, "who comes late, behind 4", follow(t, b, s.Broadcast(), log[3].Position()), "!7", "8", "9", "10", "11")
}

// TestReaderBegins: whether what stands where a reader was is what it has read.
func TestReaderBegins(t *testing.T) {
	header := func(epoch, number uint64) *framelog.Header {
		return &framelog.Header{Session: "s", Epoch: epoch, Number: number}
	}
	at := func(epoch, number uint64, flags framelog.Flags) place {
		h := header(epoch, number)
		h.Flags = flags
		return place{at: h}
	}
	var aged place
	was := framelog.Position{Log: "a", Seq: 9, Epoch: 2, Number: 5}
	for _, tt := range []struct {
		name   string
		after  framelog.Position
		log    string
		newest uint64
		at     place
		anew   bool
	}{
		{"all is as it was", was, "a", 9, at(2, 5, framelog.Key), false},
		{"it has aged out", was, "a", 90, aged, false},
		{"another log", was, "b", 90, aged, true},
		{"its tail is lost", was, "a", 8, aged, true},
		{"another message has its place", was, "a", 9, at(2, 4, 0), true},
		{"another session's has", was, "a", 9, at(3, 5, 0), true},
		{"an end has, of which it has not heard", was, "a", 9, at(2, 5, framelog.Final), true},
		{"nothing was read", framelog.Position{}, "a", 9, aged, false},
		{"a position without a number", framelog.Position{Seq: 9}, "a", 9, at(2, 4, 0), false},
		{"another broadcast's message, as before what came next", was, "a", 90, place{foreign: true, next: header(2, 6)}, false},
		{"another broadcast's message, and nothing of ours", was, "a", 90, place{foreign: true}, true},
		{"another broadcast's message, and something else of ours", was, "a", 90, place{foreign: true, next: header(2, 8)}, true},
		{"another's message and no number", framelog.Position{Seq: 9}, "a", 90, place{foreign: true}, false},
	} {
		r := newReader(tt.after, nil, nil)
		if what := r.begin(tt.log, tt.newest, tt.at); (what != "") != tt.anew || tt.anew && r.pos != 0 {
			t.Errorf("%s: %q, and it begins behind %d", tt.name, what, r.pos)
		}
	}
}

// TestPlaceAmongOthers: a shard has messages of other broadcasts, with the
// epochs and numbers that ours has. None is taken for ours; and a position right
// behind one is good, where ours goes on from there.
func TestPlaceAmongOthers(t *testing.T) {
	var logged lockedBuffer
	b := open(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	s, other := openSession(t, b), openOther(t, b)
	appendBatches(t, s, 10, 1, 2)
	appendBatches(t, other, 10, 1, 2)
	appendBatches(t, s, 10, 3)
	log := logOf(t, b, s.Broadcast())
	ctx := within(t, 10*time.Second)
	subject, stream := b.topic(s.Broadcast(), Source)
	foreign, _ := b.topic(other.Broadcast(), Source)
	for _, tt := range []struct {
		who, subject string
		seq          uint64
		foreign      bool
		at, next     uint64
	}{
		{"ours", subject, log[1].Seq, false, 2, 0},
		{"the other's, of the same number", subject, log[2].Seq - 1, true, 0, 3},
		{"ours, where the other was, which has no more", foreign, log[2].Seq, true, 0, 0},
	} {
		p, err := placeOf(ctx, stream, tt.subject, tt.seq)
		if err != nil {
			t.Fatal(err)
		}
		if p.foreign != tt.foreign || numberOf(p.at) != tt.at || numberOf(p.next) != tt.next {
			t.Errorf("%s: %+v", tt.who, p)
		}
	}
	behind := framelog.Position{Log: log[2].Log, Seq: log[2].First - 1, Epoch: log[2].Epoch, Number: log[2].Number - 1}
	expect(t, "who goes on behind a hole", follow(t, b, s.Broadcast(), behind), "3")
	if strings.Contains(logged.String(), "from its start") {
		t.Errorf("the whole log was read, as if it was not the same:\n%s", logged.String())
	}
}

func numberOf(h *framelog.Header) uint64 {
	if h == nil {
		return 0
	}
	return h.Number
}
