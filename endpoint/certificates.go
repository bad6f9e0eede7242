package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Certificates are those that listeners show, read anew when their files change:
// connections that there are go on with what they began with.
type Certificates struct {
	pairs []*pair
}

// pair is a certificate with its chain, and its key.
type pair struct {
	certFile, keyFile string
	seen, read        [2]fs.FileInfo // at the last look; when current was read
	current           atomic.Pointer[tls.Certificate]
}

// NewCertificates reads certificates and their keys from PEM files, the i-th
// key being the i-th certificate's. Who names a host (SNI: RFC 6066, 3) gets the
// first one that is for it, all others the first.
func NewCertificates(certFiles, keyFiles []string) (*Certificates, error) {
	if len(certFiles) == 0 || len(certFiles) != len(keyFiles) {
		return nil, fmt.Errorf("TLS needs as many keys as certificates: there are %d and %d", len(keyFiles), len(certFiles))
	}
	c := new(Certificates)
	for i := range certFiles {
		p := &pair{certFile: certFiles[i], keyFile: keyFiles[i]}
		now, err := p.look()
		if err == nil {
			err = p.load(now)
		}
		if err != nil {
			return nil, err
		}
		c.pairs = append(c.pairs, p)
	}
	return c, nil
}

// Config is what a listener that speaks TLS needs. There are no tickets to
// resume a session with: librtmp with GnuTLS fails over those of TLS 1.3, and an
// encoder connects once in hours.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{GetCertificate: c.forHello, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
}

func (c *Certificates) forHello(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, p := range c.pairs {
		if cert := p.current.Load(); hello.ServerName != "" && hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	return c.pairs[0].current.Load(), nil
}

// Expires is when the first of the certificates does.
func (c *Certificates) Expires() (first time.Time) {
	for _, p := range c.pairs {
		if leaf := p.current.Load().Leaf; first.IsZero() || leaf.NotAfter.Before(first) {
			first = leaf.NotAfter
		}
	}
	return first
}

// certificateInterval is how often the files are looked at. They are read when
// two looks have seen the same: who replaces them does one after the other.
const certificateInterval = time.Second

// Run keeps the certificates as the files have them, until ctx ends. What cannot
// be read changes nothing, and is logged.
func (c *Certificates) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, p := range c.pairs {
				p.refresh(log)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// refresh reads the pair if it has changed.
func (p *pair) refresh(log *slog.Logger) {
	now, err := p.look()
	if err != nil {
		if p.seen != ([2]fs.FileInfo{}) {
			log.Error("a certificate cannot be read; the one that was read before stays", "err", err)
		}
		p.seen = [2]fs.FileInfo{}
		return
	}
	settled := unchanged(now, p.seen)
	p.seen = now
	if !settled || unchanged(now, p.read) {
		return
	}
	if err := p.load(now); err != nil {
		p.read = now // told once
		log.Error("a certificate is of no use; the one that was read before stays", "err", err)
		return
	}
	log.Info("a certificate was read anew", "file", p.certFile, "expires", p.current.Load().Leaf.NotAfter)
}

// look asks for the state of both files.
func (p *pair) look() (now [2]fs.FileInfo, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		if now[i], err = os.Stat(name); err != nil {
			return now, fmt.Errorf("read certificate: %w", err)
		}
	}
	return now, nil
}

func (p *pair) load(now [2]fs.FileInfo) error {
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s and key %s: %w", p.certFile, p.keyFile, err)
	}
	if cert.Leaf == nil {
		return errors.New("read certificate: it has no leaf")
	}
	p.current.Store(&cert)
	p.read, p.seen = now, now
	return nil
}

// unchanged tells whether two looks at a pair's files have seen the same.
func unchanged(a, b [2]fs.FileInfo) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil || !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
