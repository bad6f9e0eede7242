package inputs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"weir/media"
	"weir/remux/flv"
	"weir/rtmp"
)

// Load reads an FLV file of length as an Input that goes on for as long as is
// wanted: a clip that loops without a seam.
func Load(file []byte, length, wanted time.Duration) (in Input, err error) {
	var headers, round Input
	for r := flv.NewReader(bytes.NewReader(file), 0); ; {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
		at := time.Duration(t.Timestamp) * time.Millisecond
		tag := Tag{Tag: flv.Tag{Type: t.Type, Timestamp: t.Timestamp, Data: bytes.Clone(t.Data)}, At: at, Shown: at}
		switch {
		case flv.IsSequenceHeader(t):
			headers = append(headers, tag)
			continue
		case t.Type == flv.TagVideo && len(t.Data) > 5 && t.Data[1] == 1:
			tag.Kind, tag.Key = media.Video, flv.IsKeyframe(t)
			tag.Shown += time.Duration(composition(t.Data)) * time.Millisecond
		case t.Type == flv.TagAudio:
			tag.Kind = media.Audio
		default:
			continue
		}
		round = append(round, tag)
	}
	in = headers
	for from := time.Duration(0); from < wanted; from += length {
		for _, t := range round {
			t.At, t.Shown, t.Timestamp = t.At+from, t.Shown+from, t.Timestamp+millis(from)
			in = append(in, t)
		}
	}
	return in, nil
}

// Publish sends an input to live/name at an RTMP server, each tag when it is to
// come, and ends the publish.
func Publish(address, name string, in Input) (err error) {
	nc, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer func() { err = errors.Join(err, nc.Close()) }()
	c := rtmp.NewClient(rtmp.ClientConfig{App: "live", TCURL: "rtmp://" + address + "/live", Name: name})
	send := func() error {
		_, err := nc.Write(c.Output())
		return err
	}
	if err := send(); err != nil {
		return err
	}
	buf := make([]byte, 4<<10)
	for accepted := false; !accepted; {
		n, err := nc.Read(buf)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		events, err := c.Receive(time.Now(), buf[:n])
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		for _, e := range events {
			accepted = accepted || e.Type == rtmp.ClientPublishing
		}
		if err := send(); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, nc); done <- err }()
	began := time.Now()
	for _, t := range in {
		time.Sleep(time.Until(began.Add(t.At)))
		if err := c.WriteTag(t.Tag); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if err := send(); err != nil {
			return fmt.Errorf("publish: at %v: %w", t.At, err)
		}
	}
	c.Unpublish()
	if err := send(); err != nil {
		return err
	}
	if w, ok := nc.(*net.TCPConn); ok {
		if err := w.CloseWrite(); err != nil {
			return err
		}
		<-done
	}
	return nil
}
