package rtmp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// Login asks encoders for a user and a password as Adobe's servers do
// ("authmod=adobe"): ffmpeg has them from rtmp://USER:PASSWORD@host/app/name,
// OBS from the fields of "use authentication". The dialogue takes three
// connections, and the server keeps nothing between them:
//
//  1. connect without a user: rejected, with the words that tell how to log in.
//  2. connect with a user: rejected, with the user's salt and a challenge.
//  3. connect with the response to the challenge: accepted, or rejected for good.
//
// The password does not travel, but whoever listens sees the stream all the
// same, and may repeat a response until its challenge is too old. Where that
// matters, use RTMPS.
type Login struct {
	// Account returns what is known of a user, and false for a user that is not
	// known; the peer is not told which.
	Account func(user string) (Account, bool)
	// Key makes the challenges. It is secret, and the same on all nodes that an
	// encoder may reach.
	Key [32]byte
}

// Account is what proves that a peer knows a user's password. The password
// itself need not be kept.
type Account struct {
	// Salt is told to whoever asks. It should be random.
	Salt string
	// Hash is LoginHash of user, salt and password.
	Hash [md5.Size]byte
}

// LoginHash is what an Account keeps of a password.
func LoginHash(user, salt, password string) [md5.Size]byte {
	return md5.Sum([]byte(user + salt + password))
}

// challengeAge is how long a challenge can be answered. Encoders do it at once.
const challengeAge = time.Minute

// What a rejection says is read by encoders: they look for these words.
const (
	loginPrefix = "[ AccessManager.Reject ] : "
	needLogin   = loginPrefix + "[ code=403 need auth; authmod=adobe ] : "
	loginReason = loginPrefix + "[ authmod=adobe ] : ?reason="
)

// check looks at the query of a connect. It returns the user that has logged
// in, or the description to reject the connection with and whether that is the
// end of it.
func (l *Login) check(now time.Time, query string) (user, reject string, failed bool) {
	user = parameter(query, "user")
	if parameter(query, "authmod") != "adobe" || user == "" {
		return "", needLogin, false
	}
	account, known := l.Account(user)
	if !known {
		// A stranger learns nothing of who is known: the salt is made up, and
		// always the same.
		account.Salt = l.mac("salt", user, 0)
	}
	response := parameter(query, "response")
	if response == "" {
		challenge := l.challenge(now, user)
		return "", loginReason + "needauth&user=" + user + "&salt=" + account.Salt +
			"&challenge=" + challenge + "&opaque=" + challenge, false
	}
	// The client's own challenge has the name, ours comes back as opaque.
	challenge := parameter(query, "opaque")
	right := loginResponse(account.Hash, challenge, parameter(query, "challenge"))
	if !known || !l.fresh(now, user, challenge) || !hmac.Equal([]byte(response), []byte(right)) {
		return "", loginReason + "authfailed", true
	}
	return user, "", false
}

// parameter returns a value of a query as it stands there: encoders escape
// nothing.
func parameter(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// loginResponse is what a client answers a challenge with.
func loginResponse(hash [md5.Size]byte, challenge, clientChallenge string) string {
	sum := md5.Sum([]byte(base64.StdEncoding.EncodeToString(hash[:]) + challenge + clientChallenge))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// challenge makes a challenge for a user: the time, and a MAC that tells it
// from others' work.
func (l *Login) challenge(now time.Time, user string) string {
	at := uint32(now.Unix())
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, at)) + l.mac("challenge", user, at)
}

// timeSize is the size of the time in a challenge.
const timeSize = 6

// fresh tells whether a challenge was made for the user, not long ago.
func (l *Login) fresh(now time.Time, user, challenge string) bool {
	if len(challenge) < timeSize {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(challenge[:timeSize])
	if err != nil {
		return false
	}
	at := binary.BigEndian.Uint32(b)
	age := time.Duration(int32(uint32(now.Unix())-at)) * time.Second
	// The clocks of two nodes are not the same.
	return age > -challengeAge && age < challengeAge &&
		hmac.Equal([]byte(challenge[timeSize:]), []byte(l.mac("challenge", user, at)))
}

func (l *Login) mac(what, user string, at uint32) string {
	h := hmac.New(sha256.New, l.Key[:])
	h.Write([]byte(what))
	h.Write(binary.BigEndian.AppendUint32(nil, at))
	h.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}
