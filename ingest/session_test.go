package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/media"
	"weir/media/framelog"
	"weir/media/mp3"
	"weir/media/publishing"
	"weir/remux/flv"
)

// show is a short show: headers, two GOPs of 2 s each.
func show() []flv.Tag {
	tags := []flv.Tag{meta(0), avcConfig(0, 1, 2), aacHeader(0, 0x12, 0x10)}
	body, _ := gop()
	for n := range uint32(2) {
		for _, t := range body {
			t.Timestamp += 2000 * n
			tags = append(tags, t)
		}
	}
	return tags
}

func TestPublish(t *testing.T) {
	d := newTestPublisher(Config{})
	tags := show()
	l := d.publish(t, "alice")
	l.send(tags...)
	l.unpublish()
	x := d.log.ended(t, 0)
	if !x.clean || x.stream.String() != "live/alice" {
		t.Errorf("stream %v, clean %v", x.stream, x.clean)
	}
	checkBatches(t, BatcherConfig{}, tags, x.pointers())
	if x.batches[0].Wall.IsZero() || time.Since(x.batches[0].Wall) > time.Minute {
		t.Errorf("wall clock %v: it is the ingest's at the first tag", x.batches[0].Wall)
	}
}

// TestPublishLines is what an operator reads of a session: a line when it
// begins and one when it ends, which says what it was.
func TestPublishLines(t *testing.T) {
	d := newTestPublisher(Config{})
	l := d.publish(t, "alice")
	l.send(avcConfig(0, testAVCC...), aacHeader(0, 0x12, 0x10), key(1000), sound(0), key(3000))
	l.unpublish()
	text := d.text.String()
	if strings.Count(text, "\n") != 2 {
		t.Errorf("want two lines:\n%s", text)
	}
	for _, want := range []string{
		"publish began", "publish ended", "remote=192.0.2.1:5", "stream=live/alice", "broadcast=broadcast-1",
		"reason=unpublished", "video=avc1.64000c", "size=320x180", "fps=25", "key_interval=2s", "audio=mp4a.40.2", "sample_rate=44100", "channels=2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

// testAVCC is the avcC of captures/ffmpeg-5.1.9-h264-aac.
var testAVCC = []byte("\x01\x64\x00\x0c\xff\xe1\x00\x18\x67\x64\x00\x0c\xac\xb4\x0a\x0c\xfc\xf8\x08\x80\x00\x00\x03\x00\x80\x00\x00\x19\x47\x8a\x15\x50\x01\x00\x04\x68\xef\x3c\xb0\xfd\xf8\xf8\x00")

// TestSlowEncoder sends one tag and then waits: it must not wait for the next
// one to be sent on.
func TestSlowEncoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestPublisher(Config{Batch: 20 * time.Millisecond})
		l := d.publish(t, "alice")
		l.send(avcConfig(0), key(0))
		for _, n := range []int{1, 2} {
			p, err := l.turn(Turn{})
			if err != nil || time.Until(p.Next) != d.cfg.Batch {
				t.Errorf("%v, the next turn in %v: an open batch waits for %v", err, time.Until(p.Next), d.cfg.Batch)
			}
			time.Sleep(d.cfg.Batch)
			if _, err := l.turn(Turn{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := len(d.log.sessions[0].batches); got != n {
				t.Errorf("%d batches, want %d: one goes when its time has come", got, n)
			}
			l.send(inter(uint32(40 * n)))
		}
		l.unpublish()
	})
}

// TestIdle is a session whose encoder is silent.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestPublisher(Config{})
		l := d.publish(t, "alice")
		for ts := uint32(0); ts < 200_000; ts += 20_000 {
			l.send(key(ts))
			time.Sleep(20 * time.Second)
			if _, err := l.turn(Turn{}); err != nil {
				t.Fatalf("%v: a publisher that sends something now and then is not idle", err)
			}
		}
		time.Sleep(10 * time.Second)
		_, err := l.turn(Turn{})
		if !errors.Is(err, idle) {
			t.Errorf("%v: a silent publisher is gone after 30 s", err)
		}
		l.End(t.Context(), Ending{Reason: "idle", Err: err})
		if x := d.log.ended(t, 0); x.clean {
			t.Error("its broadcast waits for it")
		}
	})
}

func TestRefusedByTheLog(t *testing.T) {
	away := errors.New("no servers")
	for _, tt := range []struct {
		open   error
		reason string
	}{
		{fmt.Errorf("open: %w", ErrBusy), "busy"},
		{fmt.Errorf("open: %w", ErrFenced), "fenced"},
		{away, ""},
	} {
		log := new(recordingLog)
		log.check = func(media.Stream) error { return tt.open }
		_, err := newTestPublisher(Config{Log: log}).Publish(t.Context(), publishing.Grant{Stream: media.Stream{App: "live", Name: "alice"}}, Peer{}, nil)
		checkRefusal(t, err, tt.open, tt.reason)

		// It may be that only the decision finds out.
		log = new(recordingLog)
		log.open = func(media.Stream) error { return tt.open }
		d := newTestPublisher(Config{Log: log})
		l := d.publish(t, "alice")
		for err = nil; err == nil; time.Sleep(time.Millisecond) {
			err = l.try(key(0))
		}
		checkRefusal(t, err, tt.open, tt.reason)
		l.End(t.Context(), Ending{Reason: "log", Err: err})
		if text := d.text.String(); !strings.Contains(text, "reason="+cmp.Or(tt.reason, "log")) || strings.Contains(text, "publish began") {
			t.Errorf("want the line of an end without a beginning:\n%s", text)
		}
	}
}

func checkRefusal(t *testing.T, err, want error, reason string) {
	t.Helper()
	r := (*Refusal)(nil)
	switch {
	case !errors.Is(err, want):
		t.Errorf("%v, want %v", err, want)
	case errors.As(err, &r) != (reason != ""):
		t.Errorf("%v: a log that is away is no fault of the peer's", err)
	case r != nil && (r.Reason() != reason || r.code != badName):
		t.Errorf("%v: reason %s, code %s", err, r.Reason(), r.code)
	}
}

// TestEmptyPublish is a session that sends no media: nobody else learns of it,
// and bytes do not keep it.
func TestEmptyPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestPublisher(Config{})
		l := d.publish(t, "alice")
		var err error
		began := time.Now()
		for ; err == nil; time.Sleep(5 * time.Second) {
			err = l.try(meta(0), avcConfig(0), aacHeader(0), video(0), audio(0))
		}
		if took := time.Since(began); !errors.Is(err, idle) || took > 40*time.Second {
			t.Errorf("%v after %v: headers and data are no media", err, took)
		}
		l.End(t.Context(), Ending{Reason: "idle", Err: err})
		if len(d.log.sessions) > 0 {
			t.Error("the registry was told of a publish without media")
		}
		if text := d.text.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no_media=true") {
			t.Errorf("want one line, which says so:\n%s", text)
		}

		l = d.publish(t, "bob")
		for err = nil; err == nil; {
			err = l.try(flv.Tag{Type: flv.TagScript, Data: make([]byte, 60_000)})
		}
		if !errors.Is(err, errPreface) {
			t.Errorf("%v: data without media has its bound", err)
		}
		l.End(t.Context(), Ending{Err: err})
		if used := d.used.Load(); used != 0 || len(d.log.sessions) > 0 {
			t.Errorf("%d bytes are held by no session, %d sessions", used, len(d.log.sessions))
		}
	})
}

// TestTakenOver is a kick by another session, which is not an operator's.
func TestTakenOver(t *testing.T) {
	d := newTestPublisher(Config{})
	l := d.publish(t, "alice")
	l.send(avcConfig(0), key(0))
	time.Sleep(2 * d.cfg.Batch)
	if _, err := l.turn(Turn{}); err != nil {
		t.Fatal(err)
	}
	x := d.log.appended(t, 0, 1)
	d.log.Lock()
	x.fenced = true
	d.log.Unlock()
	close(x.kicked)
	var err error
	for ; err == nil; time.Sleep(time.Millisecond) {
		_, err = l.turn(Turn{})
	}
	l.End(t.Context(), Ending{Reason: "kicked", Err: err})
	if text := d.text.String(); !strings.Contains(text, "reason=fenced") || !strings.Contains(text, "another encoder with the same key") {
		t.Errorf("the operator wants to know that two encoders have one key:\n%s", text)
	}
}

// TestSessionEnds is what ends a session while its encoder would go on.
func TestSessionEnds(t *testing.T) {
	tests := []struct {
		name   string
		append error
		kick   bool
		reason string
		code   string
		clean  bool
	}{
		{"fenced", fmt.Errorf("append: %w", ErrFenced), false, "fenced", badName, false},
		{"log fails", errors.New("undecided"), false, "log", "", false},
		{"kicked", nil, true, "kicked", denied, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := new(recordingLog)
			log.append = func(s *recordedSession, _ *framelog.Batch) error {
				if len(s.batches) > 0 {
					return tt.append
				}
				return nil
			}
			d := newTestPublisher(Config{Log: log, Batch: 10 * time.Millisecond})
			l := d.publish(t, "alice")
			l.send(avcConfig(0), key(0))
			time.Sleep(2 * d.cfg.Batch)
			if _, err := l.turn(Turn{}); err != nil {
				t.Fatal(err)
			}
			x := log.appended(t, 0, 1)
			if tt.kick {
				close(x.kicked)
			}
			var err error
			for ts := uint32(40); err == nil; ts += 40 {
				time.Sleep(5 * time.Millisecond)
				err = l.try(inter(ts))
			}
			r, code := (*Refusal)(nil), ""
			if errors.As(err, &r) {
				code, _ = r.Status()
			}
			if code != tt.code {
				t.Errorf("%v: the encoder is told %q, want %q", err, code, tt.code)
			}
			l.End(t.Context(), Ending{Reason: "log", Err: err})
			if x := log.ended(t, 0); x.clean != tt.clean {
				t.Errorf("clean %v, want %v", x.clean, tt.clean)
			}
			if text := d.text.String(); !strings.Contains(text, "reason="+tt.reason) {
				t.Errorf("the reason %s is missing:\n%s", tt.reason, text)
			}
			// Nothing is dropped in silence.
			counted := testutil.ToFloat64(d.cfg.Metrics.dropped.WithLabelValues("fenced")) > 0
			if said := strings.Contains(d.text.String(), "dropped_fenced="); said != (tt.reason == "fenced") || counted != said {
				t.Errorf("tags of a fenced session: said %v, counted %v:\n%s", said, counted, d.text.String())
			}
		})
	}
}

// TestCut ends a session where the next one can begin.
func TestCut(t *testing.T) {
	for _, audioOnly := range []bool{false, true} {
		d := newTestPublisher(Config{})
		l := d.publish(t, "alice")
		l.send(avcConfig(0), aacHeader(0))
		next := func(ts uint32) flv.Tag {
			switch {
			case audioOnly:
				return sound(ts)
			case ts%400 == 0:
				return key(ts)
			}
			return inter(ts)
		}
		ts := uint32(0)
		for ; ts < 500; ts += 40 {
			l.send(next(ts))
		}
		var err error
		for ; err == nil; ts += 40 {
			if _, err = l.turn(Turn{Cut: true}); err == nil {
				_, err = l.Tag(time.Now(), next(ts))
			}
		}
		ts -= 40
		want := uint32(800)
		if audioOnly {
			want = 1000
		}
		if !errors.Is(err, cut) || ts != want {
			t.Errorf("%v at %d ms, want the cut at %d", err, ts, want)
		}
		l.End(t.Context(), Ending{Err: err})
		x := d.log.ended(t, 0)
		if stored := parseRun(t, x.run()); x.clean || stored[len(stored)-1].Timestamp >= want {
			t.Errorf("clean %v, the last tag at %d ms", x.clean, stored[len(stored)-1].Timestamp)
		}
	}
}

// TestPace is an encoder whose clock runs away, and others whose does not.
func TestPace(t *testing.T) {
	const frame = 40 // ms
	tests := []struct {
		name, why string
		tag       func(i uint32) flv.Tag
		every     time.Duration // between two tags
		n         uint32
		want      string // the reason of the end, if any
		most      time.Duration
	}{
		{"real time", "an hour is nothing", func(i uint32) flv.Tag { return inter(frame * i) }, frame * time.Millisecond, 90_000, "", time.Hour},
		{"a catch-up", "a minute and a half at once after a stall", func(i uint32) flv.Tag { return inter(frame * i) }, 0, 2250, "", time.Second},
		{"eight times as fast", "is allowed for ever", func(i uint32) flv.Tag { return inter(frame * i) }, frame * time.Millisecond / 8, 90_000, "", time.Hour / 8},
		{"a file", "five minutes as fast as they are taken: held, not ended", func(i uint32) flv.Tag { return inter(frame * i) }, 0, 7500, "", 25 * time.Second},
		{"five hundred times", "ends", func(i uint32) flv.Tag { return key(500 * frame * i) }, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"sound alone", "ends, too", func(i uint32) flv.Tag { return sound(5000 * i) }, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"jumps", "each begins a segment", func(i uint32) flv.Tag { return key(60_000 * i) }, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"back and forth", "as do these", func(i uint32) flv.Tag { return key(60_000 * (i % 2)) }, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"configurations", "and these", func(i uint32) flv.Tag { return []flv.Tag{avcConfig(frame*i, byte(i)), key(frame * i)}[i%2] }, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"configurations of sound", "and these", func(i uint32) flv.Tag {
			return []flv.Tag{aacHeader(frame*i, 0x12, byte(i)), sound(frame * i)}[i%2]
		}, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"configurations of MP3", "as do these, in each frame", func(i uint32) flv.Tag {
			return mp3Sound(frame*i, [][]byte{mp3Stereo, mp3Mono}[i%2])
		}, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"configurations of MP3 in a message", "as do these", func(i uint32) flv.Tag {
			return mp3Sound(frame*i, mp3Stereo, mp3Mono)
		}, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"MP3 and AAC in turn", "as do these", func(i uint32) flv.Tag {
			return []flv.Tag{mp3Sound(frame*i, mp3Stereo), sound(frame * i)}[i%2]
		}, frame * time.Millisecond, 1 << 30, "clock", time.Minute},
		{"MP3 as it is", "has one configuration", func(i uint32) flv.Tag { return mp3Sound(frame*i, mp3Stereo) }, frame * time.Millisecond, 10_000, "", time.Hour},
		{"repeated headers", "are no other configuration", func(i uint32) flv.Tag { return []flv.Tag{avcConfig(frame*i, 1), key(frame * i)}[i%2] }, frame * time.Millisecond, 10_000, "", time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestPublisher(Config{MaxSpeed: 8})
				l := d.publish(t, "alice")
				began := time.Now()
				var err error
				i := uint32(0)
				for ; err == nil && i < tt.n; i++ {
					err = l.try(tt.tag(i))
					if tt.every > 0 {
						time.Sleep(tt.every)
					}
				}
				took := time.Since(began)
				if r := (*Refusal)(nil); tt.want == "" != (err == nil) || err != nil && (!errors.As(err, &r) || r.reason != tt.want || r.code == "") {
					t.Errorf("after %d tags and %v: %v: %s", i, took, err, tt.why)
				}
				if took > tt.most+time.Second {
					t.Errorf("it took %v, want %v: %s", took, tt.most, tt.why)
				}
				// Five seconds a segment is what the shortest default makes of them.
				segments, allowed := l.batcher.Progress()/(5*time.Second), (maxAdvance+8*took)/(5*time.Second)+1
				if segments > allowed {
					t.Errorf("%d segments in %v, want at most %d", segments, took, allowed)
				}
				l.End(t.Context(), Ending{Reason: "lost", Err: err})
			})
		})
	}
}

// Silent frames of MP3.
var (
	mp3Stereo = mp3.Config{Version: mp3.MPEG1, Layer: 3, SampleRate: 44100, Channels: 2}.AppendSilence(nil)
	mp3Mono   = mp3.Config{Version: mp3.MPEG1, Layer: 3, SampleRate: 44100, Channels: 1}.AppendSilence(nil)
)

// mp3Sound is a message with these frames.
func mp3Sound(ts uint32, frames ...[]byte) flv.Tag {
	return audio(ts, slices.Concat(append([][]byte{{0x2f}}, frames...)...)...)
}

// TestBackPressure stops the log: the connection must stop reading, memory must
// stay bounded, and when the log goes on nothing may be missing.
func TestBackPressure(t *testing.T) {
	log := new(recordingLog)
	log.gate = make(chan struct{})
	const message = 1 << 20
	d := newTestPublisher(Config{Log: log, MaxMessage: message, Batch: 10 * time.Millisecond})
	l := d.publish(t, "stuck")
	tags := []flv.Tag{avcConfig(0)}
	for ts := range uint32(400) {
		tags = append(tags, video(ts*40, append([]byte{0x27, 1, 0, 0, 0, byte(ts)}, make([]byte, 100_000)...)...))
	}
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		for _, tag := range tags {
			if err := l.try(tag); err != nil {
				done <- err
				return
			}
			sent.Add(int64(len(tag.Data)))
		}
		done <- nil
	}()
	log.wait(t, "the session", func(s []*recordedSession) bool { return len(s) == 1 })
	for d.full(l) != true {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	l.mu.Lock()
	waits := l.batcher.Queued() + l.inFlight
	l.mu.Unlock()
	if most := 2*message + 200_000; waits > most {
		t.Errorf("%d bytes wait, want at most %d", waits, most)
	}
	if used := d.used.Load(); used > 2*int64(waits)+4*batchSize {
		t.Errorf("%d bytes of memory for %d bytes of batches", used, waits)
	}
	if all := int64(400 * 100_000); sent.Load() > all/2 {
		t.Errorf("%d of %d bytes were taken off the encoder's hands while the log stood", sent.Load(), all)
	}
	close(log.gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.unpublish()
	checkBatches(t, BatcherConfig{}, tags, log.ended(t, 0).pointers())
	if used := d.used.Load(); used != 0 {
		t.Errorf("%d bytes are held by no session", used)
	}
}

// full tells whether a session is.
func (d *testPublisher) full(l *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full(time.Now())
}

// TestLogTimeout is a log that does not come back.
func TestLogTimeout(t *testing.T) {
	log := new(recordingLog)
	log.gate = make(chan struct{})
	registry := prometheus.NewRegistry()
	d := newTestPublisher(Config{Log: log, MaxMessage: 1 << 20, BusTimeout: 200 * time.Millisecond, Metrics: NewMetrics(registry)})
	l := d.publish(t, "stuck")
	var err error
	for ts := uint32(0); err == nil; ts += 40 {
		err = l.try(video(ts, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 100_000)...)...))
	}
	if !errors.Is(err, errLogTimeout) {
		t.Errorf("%v, want %v", err, errLogTimeout)
	}
	began := time.Now()
	l.End(t.Context(), Ending{Reason: "log", Err: err})
	if took := time.Since(began); took > 100*time.Millisecond+d.cfg.BusTimeout {
		t.Errorf("the end took %v: the session has waited already", took)
	}
	if x := log.ended(t, 0); x.clean {
		t.Error("the broadcast may go on: its encoder was cut off")
	}
	if !strings.Contains(d.text.String(), "level=ERROR") {
		t.Errorf("a log that takes nothing is our fault:\n%s", d.text)
	}
	if lost := value(t, registry, "weir_ingest_lost_bytes_total"); lost < 2<<20 {
		t.Errorf("%v lost bytes counted, want what was received and not stored", lost)
	}
	if stalled := value(t, registry, "weir_ingest_stalled_seconds_total"); stalled < 0.2 {
		t.Errorf("%v s stalled, want the bus timeout", stalled)
	}
}

// value returns a counter or gauge without labels.
func value(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestBudget fills the memory of all sessions with one that is stuck: another
// one whose batches are taken must go on.
func TestBudget(t *testing.T) {
	log := new(recordingLog)
	log.gate = make(chan struct{})
	d := newTestPublisher(Config{Log: log, MaxMessage: 2 << 20, Buffer: 1 << 20, BusTimeout: time.Minute})
	stuck := d.publish(t, "stuck")
	blocked := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(blocked)
		for ts := uint32(0); ; ts += 40 {
			select {
			case <-stop:
				return
			default:
			}
			if stuck.try(video(ts, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 50_000)...)...)) != nil {
				return
			}
		}
	}()
	for d.used.Load() < 1<<20 {
		time.Sleep(time.Millisecond)
	}
	tags := show()
	l := d.publish(t, "alice")
	l.send(tags...)
	l.unpublish()
	log.wait(t, "alice ends", func(s []*recordedSession) bool { return len(s) == 2 && s[0].ended != s[1].ended })
	x := log.sessions[0]
	if !x.ended {
		x = log.sessions[1]
	}
	checkBatches(t, BatcherConfig{}, tags, x.pointers())
	if used := d.used.Load(); used > 2<<20 {
		t.Errorf("the stuck session holds %d bytes of a budget of %d", used, 1<<20)
	}
	close(stop)
	close(log.gate)
	<-blocked
	stuck.lose()
}

// TestPartialBudget lets peers begin large messages that they never end: what
// they hold counts, and where it is too much they are ended, not the publisher
// beside them.
func TestPartialBudget(t *testing.T) {
	const message = 2 << 20
	d := newTestPublisher(Config{MaxMessage: message, Buffer: 4 << 20, BusTimeout: 300 * time.Millisecond})
	ended := 0
	results := make(chan error)
	holders := make([]*link, 4)
	for i := range holders {
		holders[i] = d.publish(t, fmt.Sprintf("holder%d", i))
		holders[i].Plan(Turn{Now: time.Now(), Read: message, Partial: message / 4 * 3})
	}
	tags := show()
	l := d.publish(t, "alice")
	l.send(tags...)
	l.unpublish()
	checkBatches(t, BatcherConfig{}, tags, d.log.ended(t, 0).pointers())
	for _, h := range holders {
		go func() {
			_, err := h.turn(Turn{Partial: message / 4 * 3})
			h.End(context.Background(), Ending{Reason: "log", Err: err})
			results <- err
		}()
	}
	for range holders {
		if errors.Is(<-results, errLogTimeout) {
			ended++
		}
	}
	if ended == 0 {
		t.Error("nobody was ended for what they all held")
	}
	if used := d.used.Load(); used != 0 {
		t.Errorf("%d bytes are held by no session", used)
	}
}

// TestGrantEnds is a session whose grant is taken back, before any media and
// after, or runs out: it ends at once, and its broadcast with it.
func TestGrantEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		media bool
		until time.Duration // 0: it is revoked
		want  *Refusal
	}{
		{"revoked while it publishes", true, 0, revoked},
		{"revoked before its first media", false, 0, revoked},
		{"run out", true, 3 * time.Second, expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestPublisher(Config{})
				taken := make(chan struct{})
				g := publishing.Grant{Stream: media.Stream{App: "live", Name: "alice"}, Owner: "anna", Revoked: taken}
				if tt.until > 0 {
					g.Until = time.Now().Add(tt.until)
				}
				l := d.publishBy(t, g)
				if tt.media {
					l.send(avcConfig(0), key(0))
				}
				if tt.until == 0 {
					close(taken)
					<-l.woken // it may be waiting for bytes that do not come
				} else {
					p, err := l.turn(Turn{})
					if err != nil || time.Until(p.Next) > tt.until {
						t.Fatalf("%v, the next turn in %v: want one when the grant ends", err, time.Until(p.Next))
					}
					time.Sleep(tt.until)
				}
				_, err := l.turn(Turn{})
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				l.End(t.Context(), Ending{Err: err})
				if tt.media && !d.log.ended(t, 0).clean {
					t.Error("the broadcast waits for an encoder that may not come back")
				}
				if text := d.text.String(); !strings.Contains(text, "reason="+tt.want.reason) || tt.media && !strings.Contains(text, "owner=anna") {
					t.Errorf("the log says\n%s", text)
				}
			})
		})
	}
}
