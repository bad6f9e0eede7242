package rtmp

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"weir/rtmp/amf"
)

var testLogin = &Login{
	Account: func(user string) (Account, bool) {
		return Account{Salt: "s4lt", Hash: LoginHash("alice", "s4lt", "pa+ss word")}, user == "alice"
	},
	Key: [32]byte{1, 2, 3},
}

// connectWith connects with a query on the app, and returns what came of it:
// the user, or what the peer was told.
func connectWith(t *testing.T, now time.Time, query string) (user, told string) {
	t.Helper()
	s := NewServer(ServerConfig{Login: testLogin})
	script := newScript().command(0, amf.String("connect"), amf.Number(1), amf.Object{
		{Name: "app", Value: amf.String("live" + query)},
	})
	script.publish(1, "show")
	events := receive(t, s, now, script.buf)
	switch {
	case len(events) == 2 && events[0].Type == EventConnect && events[1].Type == EventPublish:
		if events[0].App != "live" || events[1].User != events[0].User {
			t.Errorf("events %v", lines(events))
		}
		return events[0].User, ""
	case len(events) == 1 && events[0].Type == EventReject:
	default:
		t.Fatalf("events %v, want one reject, or connect and publish", lines(events))
	}
	r := newChunkReader(maxCommand)
	m, _, ok, err := r.next(s.Output()[1+2*handshakeSize:])
	if err != nil || !ok {
		t.Fatalf("no answer: %v", err)
	}
	c, err := decodeCommand(m)
	info := amf.PropertiesOf(c.arg)
	if err != nil || c.name != "_error" || asString(info.Get("code")) != "NetConnection.Connect.Rejected" {
		t.Fatalf("the peer was told %v, %v", c, err)
	}
	return "", asString(info.Get("description"))
}

// answer is a client's part: what it makes of a challenge, as ffmpeg does it.
func answer(t *testing.T, told, user, password string) string {
	t.Helper()
	_, query, _ := strings.Cut(told, "?")
	opaque := parameter(query, "opaque")
	if parameter(query, "reason") != "needauth" || parameter(query, "challenge") != opaque || opaque == "" {
		t.Fatalf("no challenge in %q", told)
	}
	hash := LoginHash(user, parameter(query, "salt"), password)
	const own = "0badcafe"
	response := loginResponse(hash, opaque, own)
	return "?authmod=adobe&user=" + user + "&challenge=" + own + "&response=" + response + "&opaque=" + opaque
}

// TestLogin: the dialogue of three connections.
func TestLogin(t *testing.T) {
	const first = "?authmod=adobe&user=alice"
	if _, told := connectWith(t, start, ""); !strings.Contains(told, "code=403 need auth") || !strings.Contains(told, "authmod=adobe") {
		t.Errorf("told %q: ffmpeg and OBS look for these words", told)
	}
	_, told := connectWith(t, start, first)
	response := answer(t, told, "alice", "pa+ss word")
	if user, told := connectWith(t, start.Add(time.Second), response); user != "alice" {
		t.Errorf("the right password: %q", told)
	}
	if user, _ := connectWith(t, start.Add(-time.Second), response); user != "alice" {
		t.Error("another node's clock is a second behind")
	}
	for why, bad := range map[string]string{
		"the wrong password": answer(t, told, "alice", "password"),
		"another's":          strings.Replace(response, "user=alice", "user=bob", 1),
		"no challenge":       response[:strings.Index(response, "&opaque=")],
		"a made-up one":      response[:len(response)-1] + "_",
		"no base64":          response[:strings.Index(response, "&opaque=")] + "&opaque=%%%%%%%%",
	} {
		if user, told := connectWith(t, start, bad); user != "" || !strings.Contains(told, "authfailed") && !strings.Contains(told, "need auth") {
			t.Errorf("%s: user %q, told %q", why, user, told)
		}
	}
	if user, _ := connectWith(t, start.Add(challengeAge), response); user != "" {
		t.Error("a challenge can be answered for ever")
	}
}

// TestLoginOfStrangers: who asks learns nothing of who is known.
func TestLoginOfStrangers(t *testing.T) {
	salt := func(now time.Time) string {
		_, told := connectWith(t, now, "?authmod=adobe&user=mallory")
		_, query, _ := strings.Cut(told, "?")
		if user, told := connectWith(t, now, answer(t, told, "mallory", "")); user != "" || !strings.Contains(told, "authfailed") {
			t.Errorf("user %q, told %q", user, told)
		}
		return parameter(query, "salt")
	}
	if a, b := salt(start), salt(start.Add(time.Hour)); a != b || a == "" {
		t.Errorf("salts %q and %q: those of an account stay", a, b)
	}
}

// TestLoginHash is what an account keeps, as Adobe's servers compute it.
func TestLoginHash(t *testing.T) {
	h := LoginHash("user", "salt", "password")
	if got := base64.StdEncoding.EncodeToString(h[:]); got != "wZDERJcTVTIH0eX2iWMq7Q==" {
		t.Errorf("got %s", got)
	}
}
