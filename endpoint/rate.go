package endpoint

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxRated is how many addresses a rate knows. When there are more, those go
// that have nothing to wait for, or else any: an attacker who has so many can
// have a place for each.
const maxRated = 10_000

// rate bounds how often an address may do something: as often in a minute, and
// as often at once. Any goroutine may use it.
type rate struct {
	perMinute int

	mu   sync.Mutex
	free map[netip.Prefix]time.Time // when the address has, or had, nothing to wait for
}

func newRate(perMinute int) *rate {
	return &rate{perMinute: perMinute, free: make(map[netip.Prefix]time.Time)}
}

// take tells whether an address may do it once more at now.
func (r *rate) take(now time.Time, remote net.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	prefix := prefixOf(remote)
	free := r.free[prefix]
	if free.Before(now) {
		free = now
	}
	free = free.Add(time.Minute / time.Duration(r.perMinute))
	if free.Sub(now) > time.Minute {
		return false
	}
	if len(r.free) >= maxRated {
		r.forget(now)
	}
	r.free[prefix] = free
	return true
}

// forget makes room.
func (r *rate) forget(now time.Time) {
	for p, free := range r.free {
		if !free.After(now) {
			delete(r.free, p)
		}
	}
	for p := range r.free {
		if len(r.free) < maxRated {
			return
		}
		delete(r.free, p)
	}
}
