package check

import (
	"crypto/sha256"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
)

// Kind is what a Want asks for.
type Kind uint8

// The kinds of objects.
const (
	Playlist Kind = iota + 1
	Segment
	Initialization
	// Departed is a segment that left the window: it must still be there.
	Departed
)

// Want is an object that the Checker asks for.
type Want struct {
	// URI is resolved, as Config.Resolve did.
	URI  string
	Kind Kind
	// Offset and Length are the byte range to fetch; Length 0 is all of it.
	Offset, Length int64

	of    *rendition
	entry playlist.Segment
}

// Object is the answer to a Want.
type Object struct {
	Body []byte
	// Err is why there is no body. Its text is shown, and must hold no secret.
	Err error
	// HTTP tells that what follows is known: the headers of the response, by
	// their canonical names, and whether it came after a redirect.
	HTTP       bool
	Header     map[string][]string
	Redirected bool
}

// ErrElsewhere as an Object's Err: it cannot be had from here, which is no
// fault of the presentation.
var ErrElsewhere = errors.New("it lies elsewhere")

// Config is how a Checker works.
type Config struct {
	// Resolve resolves the URI ref in the playlist at base. Nil takes both for
	// slash-separated paths.
	Resolve func(base, ref string) string
	// Watch reloads live playlists, and asks for segments that left.
	Watch bool
	// PlaylistsOnly asks for no segments.
	PlaylistsOnly bool
}

// Checker checks one presentation. It says what to fetch next, and takes the
// answers, in that order. It has no clock and does no I/O.
type Checker struct {
	cfg    Config
	report report.Report
	queue  []Want

	root       *playlist.Playlist // the multivariant playlist, or nil
	renditions []*rendition
	byURI      map[string]*rendition
	once       map[string]map[string]bool // of each playlist: the rules told
	reloads    map[string]time.Time       // of each live playlist: when it is due
	// listed and text are the segments of all playlists and the bytes that they
	// take; room is what they may be. Once they were more, no further playlist is
	// asked for: full.
	listed, text int
	full         bool
	room         struct{ listed, text int }
}

// New begins the check of the presentation at root, a playlist.
func New(root string, cfg Config) *Checker {
	if cfg.Resolve == nil {
		cfg.Resolve = resolvePath
	}
	c := &Checker{
		cfg: cfg, queue: []Want{{URI: root, Kind: Playlist}},
		byURI: map[string]*rendition{}, once: map[string]map[string]bool{}, reloads: map[string]time.Time{},
	}
	c.room.listed, c.room.text = playlist.MaxListed, playlist.MaxText
	return c
}

// resolvePath resolves a relative path. What has a scheme stays.
func resolvePath(base, ref string) string {
	if strings.Contains(ref, "://") || strings.HasPrefix(ref, "data:") {
		return ref
	}
	ref = playlist.Unescape(playlist.Path(ref))
	if strings.HasPrefix(ref, "/") {
		return path.Clean(ref[1:])
	}
	return path.Join(path.Dir(base), ref)
}

// Next returns the next object to fetch at now: false when there is none, for
// good or until Due.
func (c *Checker) Next(now time.Time) (Want, bool) {
	if len(c.queue) == 0 {
		for _, m := range c.renditions {
			if at, ok := c.reloads[m.uri]; ok && !at.After(now) {
				delete(c.reloads, m.uri)
				c.queue = append(c.queue, Want{URI: m.uri, Kind: Playlist, of: m})
			}
		}
	}
	for len(c.queue) > 0 {
		w := c.queue[0]
		c.queue = c.queue[1:]
		if c.full && w.Kind == Playlist && w.of != nil && w.of.current == nil {
			continue
		}
		return w, true
	}
	return Want{}, false
}

// Ahead returns up to n objects that will be asked for after the present one,
// for callers that fetch several at a time.
func (c *Checker) Ahead(n int) []Want { return slices.Clone(c.queue[:min(n, len(c.queue))]) }

// Due is when the next playlist is to be reloaded; zero: none is.
func (c *Checker) Due() (due time.Time) {
	for _, at := range c.reloads {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// Put takes the answer to w, which was fetched at now. A zero now leaves out
// what is said about time.
func (c *Checker) Put(now time.Time, w Want, o Object) {
	live := w.Kind == Playlist && w.of != nil && w.of.current != nil
	c.checkDelivery(w, o)
	if o.Err != nil {
		c.missing(now, w, o.Err, live)
		return
	}
	switch w.Kind {
	case Playlist:
		c.putPlaylist(now, w, o)
	case Initialization:
		c.report.Bytes += int64(len(o.Body))
		if !w.entry.Encrypted {
			stream.CheckInitialization(o.Body, func(rule, format string, args ...any) { c.report.Add(rule, w.URI, 0, format, args...) })
		}
	case Segment:
		c.remember(w, o.Body)
		e := w.entry
		e.URI = w.URI
		w.of.take(e, o.Body, &c.report)
	case Departed:
		c.remember(w, o.Body)
	}
}

// missing: what was listed is not there.
func (c *Checker) missing(now time.Time, w Want, err error, live bool) {
	switch {
	case errors.Is(err, ErrElsewhere):
		c.report.Note("What is on other servers, or above the directory of the check, was not looked at.")
		if w.Kind == Segment {
			w.of.broken(&c.report)
		}
	case w.Kind == Departed:
		c.report.Add("LIVE-GONE", w.URI, 0, "it just left the playlist: %v", err)
	case live:
		c.report.Add("LIVE-UNAVAILABLE", w.URI, 0, "%v", err)
		c.schedule(now, w.of)
	default:
		c.report.Add("OBJ-MISSING", w.URI, 0, "%v", err)
		if w.Kind == Segment {
			w.of.broken(&c.report)
		}
	}
}

// remember compares an object's bytes with what its name had before.
func (c *Checker) remember(w Want, body []byte) {
	if !c.cfg.Watch {
		return
	}
	key := w.URI
	if w.Length > 0 {
		key += "@" + strconv.FormatInt(w.Offset, 10)
	}
	sum := sha256.Sum256(body)
	if before, ok := w.of.sums[key]; ok && before != sum {
		c.report.Add("LIVE-REUSED", w.URI, 0, "its bytes are not those of the last time")
	}
	if w.Kind == Departed {
		delete(w.of.sums, key)
	} else {
		w.of.sums[key] = sum
	}
}

// putPlaylist takes in a playlist of either kind.
func (c *Checker) putPlaylist(now time.Time, w Want, o Object) {
	if c.once[w.URI] == nil {
		c.once[w.URI] = map[string]bool{}
	}
	var variables map[string]string
	if c.root != nil {
		variables = c.root.Variables
	}
	if held := c.heldOf(w.of); len(o.Body) > c.room.text-c.text+held { // to parse it would cost time for nothing
		c.full = true
		c.tell(c.place(w), "M3U-LIMIT", "with the other playlists it has more than %d bytes", c.room.text)
		return
	}
	p := checkVersion(w.URI, string(o.Body), variables, &c.report, c.once[w.URI])
	if w.of == nil && p.Multivariant && !p.Media {
		c.root = p
		p.CheckMultivariant(&c.report)
		c.follow(p)
		return
	}
	if p.Multivariant {
		if w.of != nil {
			c.report.Add("MVP-NESTED", w.URI, 0, "it is a multivariant playlist")
		}
		return
	}
	m := w.of
	if m == nil {
		m = c.rendition(w.URI)
	}
	c.checkCache(w, o, p)
	c.bound(m, p)
	c.version(now, m, p)
}

// heldOf is what is held of a rendition's playlist.
func (c *Checker) heldOf(m *rendition) int {
	if m == nil {
		return 0
	}
	return m.held
}

// bound cuts from a playlist what is more than may be kept of all of them.
func (c *Checker) bound(m *rendition, p *playlist.Playlist) {
	if m.current != nil {
		c.listed -= len(m.current.Segments)
		c.text -= m.held
	}
	m.held = p.Held
	if room := c.room.listed - c.listed; len(p.Segments) > room {
		c.tell(p.URI, "M3U-LIMIT", "with the other playlists it lists more than %d segments", c.room.listed)
		p.Segments = slices.Clone(p.Segments[:room])
	}
	if m.held > c.room.text-c.text { // what is kept of it would keep all of it
		c.tell(p.URI, "M3U-LIMIT", "with the other playlists it takes more than %d bytes", c.room.text)
		c.full = true
		*p = playlist.Playlist{URI: strings.Clone(p.URI), Target: p.Target, HasTarget: p.HasTarget, Ended: p.Ended, Multivariant: p.Multivariant, Media: p.Media}
		m.held = 0
	}
	c.listed += len(p.Segments)
	c.text += m.held
}

// follow asks for the playlists that a multivariant playlist lists.
func (c *Checker) follow(p *playlist.Playlist) {
	ask := func(uri string) {
		if uri == "" {
			return
		}
		uri = c.cfg.Resolve(p.URI, uri)
		if c.byURI[uri] == nil && len(c.renditions) < playlist.MaxVariants {
			m := c.rendition(uri)
			m.independent = p.Independent
			c.queue = append(c.queue, Want{URI: uri, Kind: Playlist, of: m})
		}
	}
	for i := range p.Variants {
		ask(p.Variants[i].URI)
	}
	for _, t := range p.Renditions {
		ask(t.Value("URI"))
	}
}

func (c *Checker) rendition(uri string) *rendition {
	m := &rendition{uri: uri, inits: map[string]bool{}, sums: map[string][sha256.Size]byte{}}
	c.renditions = append(c.renditions, m)
	c.byURI[uri] = m
	return m
}

// version takes in a version of a media playlist, and asks for what is new.
func (c *Checker) version(now time.Time, m *rendition, p *playlist.Playlist) {
	left := m.history.Observe(now, p, &c.report)
	m.current = p
	m.wasLive = m.wasLive || !p.Ended
	for i := range p.Segments {
		s := &p.Segments[i]
		if m.started && s.Sequence < m.asked {
			continue
		}
		m.started, m.asked = true, s.Sequence+1
		m.pass(s)
		c.ask(m, s)
	}
	if !c.cfg.Watch {
		return
	}
	for _, s := range left {
		if w := c.want(m, s); !c.cfg.PlaylistsOnly {
			w.Kind = Departed
			c.queue = append(c.queue, w)
		}
	}
	if !p.Ended && p.Kind != "VOD" {
		c.schedule(now, m)
	}
}

// want is the Want for an entry.
func (c *Checker) want(m *rendition, s playlist.Segment) Want {
	w := Want{URI: c.cfg.Resolve(m.uri, s.URI), Kind: Segment, of: m, entry: s}
	if s.HasRange {
		w.Offset, w.Length = s.Offset, s.Length
	}
	return w
}

// ask asks for a segment, and for its initialization the first time.
func (c *Checker) ask(m *rendition, s *playlist.Segment) {
	if c.cfg.PlaylistsOnly || s.Gap {
		return
	}
	if s.Init != nil && s.Init.URI != "" {
		uri := c.cfg.Resolve(m.uri, s.Init.URI)
		key := uri + "@" + strconv.FormatInt(s.Init.Offset, 10)
		if !m.inits[key] && len(m.inits) < playlist.MaxVariables {
			m.inits[key] = true
			c.queue = append(c.queue, Want{URI: uri, Kind: Initialization, Offset: s.Init.Offset, Length: s.Init.Length, of: m, entry: *s})
		}
	}
	c.queue = append(c.queue, c.want(m, *s))
}

// schedule plans the next reload: three in a target duration, so that the
// history misses no version, but four in a second at most.
func (c *Checker) schedule(now time.Time, m *rendition) {
	if !c.cfg.Watch {
		return
	}
	target := 1
	if m.current != nil {
		target = max(m.current.Target, 1)
	}
	c.reloads[m.uri] = now.Add(max(playlist.Duration(float64(target))/3, 250*time.Millisecond))
}

// Report returns what was found so far, with what only the whole shows.
func (c *Checker) Report() report.Report {
	r := c.report.Clone()
	for _, m := range c.renditions {
		m.checkWhole(&r)
	}
	if c.root != nil {
		c.compareRenditions(&r)
		c.compareVariants(&r)
	}
	return r
}

// checkVersion parses and checks a version of a media playlist; once holds the
// rules that earlier versions broke, which are not told again.
func checkVersion(uri, text string, variables map[string]string, r *report.Report, once map[string]bool) *playlist.Playlist {
	var here report.Report
	p := playlist.Parse(uri, text, variables, &here)
	if !p.Multivariant {
		p.CheckMedia(&here)
	}
	r.Playlists++
	r.Bytes += int64(len(text))
	broken := map[string]bool{}
	for _, f := range here.Findings {
		if !once[f.Rule] {
			r.Add(f.Rule, f.Where, f.Line, "%s", f.Text)
		}
		broken[f.Rule] = true
	}
	for rule := range broken {
		if more := here.Counts[rule] - report.MaxPerRule; more > 0 && !once[rule] {
			r.Counts[rule] += more
		}
		once[rule] = true
	}
	return p
}
