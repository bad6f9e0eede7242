package bus

import "testing"

// TestNewMaxBytes: a node that does not ask for a bound gives one to what it
// creates, and leaves alone what is there.
func TestNewMaxBytes(t *testing.T) {
	n := startNATS(t)
	for _, tt := range []struct {
		cfg  Config
		want int64
	}{
		{Config{NewMaxBytes: 2 << 20}, 2 << 20},
		{Config{NewMaxBytes: 4 << 20}, 2 << 20},
		{Config{MaxBytes: 8 << 20, NewMaxBytes: 4 << 20}, 8 << 20},
		{Config{}, 8 << 20},
	} {
		tt.cfg.URL = n.ClientURL()
		b := open(t, tt.cfg)
		if got := b.shards[0].CachedInfo().Config.MaxBytes; got != tt.want {
			t.Errorf("%+v: the log is bounded by %d, want %d", tt.cfg, got, tt.want)
		}
	}
}
