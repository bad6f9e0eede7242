package rtmp

import (
	"strings"
	"unicode/utf8"

	"weir/rtmp/amf"
)

// handshook connects. The chunk size goes first, as OBS sends it.
func (c *Client) handshook() {
	c.out.setChunkSize(c.config.ChunkSize)
	c.writeCommand(0, "connect", transactionConnect, amf.Object{
		{Name: "app", Value: amf.String(c.config.App)},
		{Name: "type", Value: amf.String("nonprivate")},
		{Name: "flashVer", Value: amf.String(c.config.FlashVersion)},
		{Name: "tcUrl", Value: amf.String(c.config.TCURL)},
		{Name: "capsEx", Value: amf.Number(reconnectBit)},
	})
}

// handle obeys a message of the server's. A publisher needs commands only.
func (c *Client) handle(m message) error {
	if m.typ != typeCommandAMF0 && m.typ != typeCommandAMF3 {
		return nil
	}
	cmd, err := decodeCommand(m)
	if err != nil {
		return err
	}
	switch cmd.name {
	case "_result":
		return c.handleResult(&cmd)
	case "_error":
		return c.handleError(&cmd)
	case "onStatus":
		return c.handleStatus(&cmd)
	}
	// onBWDone, onFCPublish and the like ask for nothing.
	return nil
}

// handleResult takes the next step of a publish: connect, then releaseStream,
// FCPublish and createStream at once, then publish [RTMP 7.2.2.6].
func (c *Client) handleResult(cmd *command) error {
	name := amf.String(c.config.Name)
	switch {
	case c.state == stateConnect && cmd.transaction == transactionConnect:
		c.state = stateCreateStream
		c.writeCommand(0, "releaseStream", transactionReleaseStream, amf.Null{}, name)
		c.writeCommand(0, "FCPublish", transactionFCPublish, amf.Null{}, name)
		c.writeCommand(0, "createStream", transactionCreateStream, amf.Null{})
	case c.state == stateCreateStream && cmd.transaction == transactionCreateStream:
		id, ok := asNumber(cmd.arg)
		if !ok {
			return broke("RTMP 7.2.1.3", "the answer to createStream holds a stream's number")
		}
		c.state, c.stream = statePublish, flags(id)
		c.writeCommand(c.stream, "publish", transactionPublish, amf.Null{}, name, amf.String("live"))
	case cmd.transaction == transactionPublish:
		// Some servers answer publish with a result and no status.
		c.published("NetStream.Publish.Start", "")
	}
	return nil
}

// handleError ends the dialogue when a command that matters failed. Servers
// that do not know releaseStream and FCPublish do no harm.
func (c *Client) handleError(cmd *command) error {
	switch cmd.transaction {
	case transactionConnect, transactionCreateStream, transactionPublish:
		return c.refused(amf.PropertiesOf(cmd.arg))
	}
	return nil
}

// handleStatus reads an onStatus [RTMP 7.2.2].
func (c *Client) handleStatus(cmd *command) error {
	info := amf.PropertiesOf(cmd.arg)
	code := asString(info.Get("code"))
	switch {
	case asString(info.Get("level")) == "error":
		return c.refused(info)
	case code == "NetStream.Publish.Start":
		c.published(code, c.blank(info.Get("description")))
	case code == "NetConnection.Connect.ReconnectRequest":
		c.events = append(c.events, ClientEvent{
			Type: ClientReconnect, Code: code, Description: c.blank(info.Get("description")), TCURL: asString(info.Get("tcUrl")),
		})
	default:
		c.events = append(c.events, ClientEvent{
			Type: ClientStatus, Code: code, Description: c.blank(info.Get("description")),
		})
	}
	return nil
}

// published opens the door for tags, once.
func (c *Client) published(code, description string) {
	if c.state == statePublish {
		c.state = statePublishing
		c.events = append(c.events, ClientEvent{Type: ClientPublishing, Code: code, Description: description})
	}
}

func (c *Client) refused(info amf.Properties) error {
	return &RefusedError{Code: asString(info.Get("code")), Description: c.blank(info.Get("description"))}
}

// blank returns a server's text without the stream's name and query, which
// servers like to repeat and which are secrets.
func (c *Client) blank(v amf.Value) string {
	name, query, _ := strings.Cut(c.config.Name, "?")
	return blankOut(blankOut(asString(v), query), name)
}

// blankOut replaces a secret in a text: a short one where it stands by itself,
// as it may be within a word by chance.
func blankOut(text, secret string) string {
	const blank, short = "***", 8
	switch {
	case secret == "":
		return text
	case len(secret) >= short:
		return strings.ReplaceAll(text, secret, blank)
	}
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], secret)
		if i < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		i += from
		end := i + len(secret)
		b.WriteString(text[from:i])
		if standsAlone(text[:i], text[end:]) {
			b.WriteString(blank)
		} else {
			b.WriteString(secret)
		}
		from = end
	}
}

// standsAlone tells whether what lies between two texts is not within a word.
func standsAlone(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	next, _ := utf8.DecodeRuneInString(after)
	return !isLetter(last) && !isSign(last) && !isLetter(next) && !isSign(next)
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// isSign is for what names have beside letters.
func isSign(r rune) bool { return r >= '0' && r <= '9' || r == '-' || r == '_' }
