package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"weir/media/publishing"
)

// Form asks as nginx-rtmp does (on_publish, on_publish_done): a form by POST,
// which is answered by a status. 2xx lets the peer publish under its name, 3xx
// under the one in Location, anything else refuses it. The secret then stands
// in the query, as in live/alice?key=SECRET, or it is the name, and Location
// has the public one.
type Form struct {
	asker asker
	log   *slog.Logger
	done  chan []byte // forms of publishes that are over

	mu    sync.Mutex
	live  map[string]url.Values // what was asked, by the grant's ID
	given int
}

// maxDone is how many publish_done may wait for a receiver that is slow, and
// doneTime how long one is tried at the end of the process.
const (
	maxDone  = 1000
	doneTime = 3 * time.Second
)

// NewForm returns one that asks as cfg says. Its Run sends what is over.
func NewForm(cfg WebhookConfig, log *slog.Logger) (*Form, error) {
	a, err := newAsker(cfg)
	if err != nil {
		return nil, err
	}
	return &Form{asker: a, log: log, done: make(chan []byte, maxDone), live: make(map[string]url.Values)}, nil
}

// Authorize asks.
func (f *Form) Authorize(ctx context.Context, r Request) (publishing.Grant, error) {
	f.mu.Lock()
	f.given++
	id := fmt.Sprint(f.given)
	f.mu.Unlock()
	form := formOf(r, id)
	a, err := f.asker.ask(ctx, "application/x-www-form-urlencoded", encode(form, "publish"))
	if err != nil {
		return publishing.Grant{}, unavailable(err)
	}
	rule := Rule{Stream: r.App + "/" + r.Name}
	switch a.status / 100 {
	case 2:
	case 3:
		name, err := renamed(a.location)
		if err != nil {
			return publishing.Grant{}, unavailable(err)
		}
		rule.Stream = r.App + "/" + name
		if r.unnamed().holdsSecret(name) {
			return publishing.Grant{}, unavailable(errors.New("the webhook's answer names the stream as its key, which nobody may see"))
		}
	case 4:
		return publishing.Grant{}, denied("")
	default:
		return publishing.Grant{}, unavailable(fmt.Errorf("the webhook answers with status %d", a.status))
	}
	g, err := rule.Grant()
	if err != nil {
		return publishing.Grant{}, unavailable(fmt.Errorf("the webhook's answer: %w", err))
	}
	g.ID = id
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live[id] = form
	return g, nil
}

// renamed is the name in a Location: nginx-rtmp has the plain name there,
// frameworks make a URL of it. An RTMP URL is nginx-rtmp's way to relay.
func renamed(location string) (string, error) {
	u, err := url.Parse(location)
	if err != nil || u.Path == "" || u.Path == "/" {
		return "", errors.New("the webhook's answer has no name in Location")
	}
	if u.Scheme == "rtmp" || u.Scheme == "rtmps" {
		return "", errors.New("the webhook's answer relays to another server, which weir does not do")
	}
	return path.Base(u.Path), nil
}

// Release queues publish_done. Where too many wait, it is left out, and logged.
func (f *Form) Release(g publishing.Grant) {
	f.mu.Lock()
	form := f.live[g.ID]
	delete(f.live, g.ID)
	f.mu.Unlock()
	if form == nil {
		return
	}
	select {
	case f.done <- encode(form, "publish_done"):
	default:
		f.log.Warn("on_publish_done is left out: too many wait for its receiver", "stream", g.Stream)
	}
}

// Run sends what is over, until ctx ends and nothing waits, or the receiver
// takes too long.
func (f *Form) Run(ctx context.Context) error {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(doneTime, cancel) })
	defer stop()
	for {
		select {
		case form := <-f.done:
			f.tell(life, form)
		case <-ctx.Done():
			for len(f.done) > 0 && life.Err() == nil {
				f.tell(life, <-f.done)
			}
			return nil
		}
	}
}

func (f *Form) tell(ctx context.Context, form []byte) {
	a, err := f.asker.ask(ctx, "application/x-www-form-urlencoded", form)
	if err == nil && a.status/100 != 2 {
		err = fmt.Errorf("status %d", a.status)
	}
	if err != nil {
		f.log.Warn("on_publish_done was not taken", "err", err)
	}
}

// formOf has the members that nginx-rtmp sends, and those of the query that no
// receiver takes for one of these.
func formOf(r Request, id string) url.Values {
	host, _, err := net.SplitHostPort(r.Remote)
	if err != nil {
		host = r.Remote
	}
	ours := map[string]string{
		"app": r.App, "name": r.Name, "tcurl": r.TCURL, "flashver": r.Encoder, "swfurl": "", "pageurl": "",
		"addr": host, "clientid": id, "type": "live",
	}
	form := url.Values{}
	if query, err := url.ParseQuery(r.Query); err == nil {
		for name, values := range query {
			if _, is := ours[strings.ToLower(name)]; !is && plain(name) && !strings.EqualFold(name, "call") {
				form[name] = values
			}
		}
	}
	for name, value := range ours {
		form.Set(name, value)
	}
	return form
}

// plain tells whether every receiver reads a parameter's name as it stands: PHP
// and others make something else of brackets, dots, blanks and zero bytes.
func plain(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// encode writes a form for a call. As nginx-rtmp has it, call stands first.
func encode(form url.Values, call string) []byte {
	return []byte(strings.TrimSuffix("call="+call+"&"+form.Encode(), "&"))
}
