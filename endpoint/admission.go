package endpoint

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// Admission bounds connections, in all and of one address, and decides who
// goes where one more comes than there is room for: a stranger, which is who
// has not shown yet what it came for. Of those, the address with the most
// loses its oldest, so that a flood from some addresses keeps out nobody from
// others. Whoever is no stranger stays. It may be used by any goroutine.
type Admission struct {
	max, perAddress int

	mu       sync.Mutex
	count    int
	arrivals uint64 // of strangers
	byPrefix map[netip.Prefix]*neighbours
}

// neighbours are the connections of one address or IPv6 network.
type neighbours struct {
	count     int
	strangers list.List // of *Place, oldest first
}

// Place is a connection that was admitted.
type Place struct {
	of       *Admission
	prefix   netip.Prefix
	dismiss  func()
	stranger *list.Element // nil: it is none
	arrival  uint64        // as a stranger
	gone     bool
}

// NewAdmission returns an Admission for at most so many connections, and
// perAddress of one address. perAddress 0 is as many.
func NewAdmission(most, perAddress int) *Admission {
	if perAddress <= 0 {
		perAddress = most
	}
	return &Admission{max: most, perAddress: perAddress, byPrefix: make(map[netip.Prefix]*neighbours)}
}

// Enter admits a connection, as a stranger. dismiss is called, without waiting
// for it, if the connection is to go in favour of another; it must not call the
// Admission. Without a Place there is no room.
func (a *Admission) Enter(remote net.Addr, dismiss func()) *Place {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &Place{of: a, prefix: prefixOf(remote), dismiss: dismiss}
	n := a.byPrefix[p.prefix]
	if n == nil {
		n = new(neighbours)
		a.byPrefix[p.prefix] = n
	}
	p.estrange(n)
	n.count++
	a.count++
	victim := (*Place)(nil)
	if n.count > a.perAddress {
		victim = oldest(n)
	} else if a.count > a.max {
		victim = a.leastWelcome()
	}
	if victim != nil {
		victim.leave()
		if victim == p {
			return nil
		}
		go victim.dismiss()
	}
	return p
}

// oldest returns the oldest stranger; the newest connection is one.
func oldest(n *neighbours) *Place {
	p, _ := n.strangers.Front().Value.(*Place)
	return p
}

// leastWelcome returns the oldest stranger of the address that has the most.
func (a *Admission) leastWelcome() (p *Place) {
	most := 0
	for _, n := range a.byPrefix {
		if have := n.strangers.Len(); have > most || have == most && have > 0 && oldest(n).arrival < p.arrival {
			most, p = have, oldest(n)
		}
	}
	return p
}

// Settle tells that a connection is a stranger no more.
func (p *Place) Settle() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.stranger != nil {
		p.of.byPrefix[p.prefix].strangers.Remove(p.stranger)
		p.stranger = nil
	}
}

// Unsettle makes a connection a stranger again, as one that has just come.
func (p *Place) Unsettle() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.stranger == nil && !p.gone {
		p.estrange(p.of.byPrefix[p.prefix])
	}
}

// estrange makes p the newest stranger of its address. It needs mu.
func (p *Place) estrange(n *neighbours) {
	p.of.arrivals++
	p.arrival = p.of.arrivals
	p.stranger = n.strangers.PushBack(p)
}

// Leave gives the place back. It may be called again.
func (p *Place) Leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.leave()
}

// leave needs mu.
func (p *Place) leave() {
	if p.gone {
		return
	}
	p.gone = true
	n := p.of.byPrefix[p.prefix]
	if p.stranger != nil {
		n.strangers.Remove(p.stranger)
		p.stranger = nil
	}
	p.of.count--
	if n.count--; n.count == 0 {
		delete(p.of.byPrefix, p.prefix)
	}
}

// prefixOf is what counts as one address: an IPv4 address, or the /64 network
// of an IPv6 one, all of which one host may have [RFC 4291, 2.5.4]. Addresses
// that are no IP are one.
func prefixOf(remote net.Addr) netip.Prefix {
	at, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(at.IP)
	addr = addr.Unmap()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // it fails for the zero Addr only, which is one, too
	return p
}
