package rtmp_test

import (
	"fmt"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// A publish from one end to the other. The two ends are joined by two calls
// here; a socket between them makes no difference.
func Example() {
	now := time.Unix(0, 0)
	client := rtmp.NewClient(rtmp.ClientConfig{App: "live", TCURL: "rtmp://localhost/live", Name: "alice"})
	server := rtmp.NewServer(rtmp.ServerConfig{})
	for sent := false; ; {
		events, err := server.Receive(now, client.Output())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range events {
			fmt.Println(e.Type, e.App, e.Name, e.Tag.Timestamp, e.Tag.Data)
			switch e.Type {
			case rtmp.EventPublish:
				server.Accept(e.StreamID)
			case rtmp.EventUnpublish:
				return
			}
		}
		if _, err := client.Receive(now, server.Output()); err != nil {
			fmt.Println(err)
			return
		}
		if client.Publishing() && !sent {
			sent = true
			if err := client.WriteTag(flv.Tag{Type: flv.TagAudio, Timestamp: 40, Data: []byte{0xAF, 0}}); err != nil {
				fmt.Println(err)
				return
			}
			client.Unpublish()
		}
	}
	// Output:
	// connect live  0 []
	// publish live alice 0 []
	// tag   40 [175 0]
	// unpublish   0 []
}

// A server says no with a status, and the client's Receive returns it. Whoever
// holds the socket then closes it: librtmp waits for ever otherwise.
func ExampleServer_Refuse() {
	now := time.Unix(0, 0)
	client := rtmp.NewClient(rtmp.ClientConfig{App: "live", TCURL: "rtmp://localhost/live", Name: "alice"})
	server := rtmp.NewServer(rtmp.ServerConfig{})
	for {
		events, err := server.Receive(now, client.Output())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range events {
			if e.Type == rtmp.EventPublish {
				server.Refuse(e.StreamID, "NetStream.Publish.BadName", "Somebody publishes this already.")
			}
		}
		if _, err := client.Receive(now, server.Output()); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// rtmp: the server refused: NetStream.Publish.BadName: Somebody publishes this already.
}
