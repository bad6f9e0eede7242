//go:build unix

package encoders

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/internal/testweir"
)

// obs is OBS Studio, without a screen, led by its WebSocket.
type obs struct {
	t       *testing.T
	process *testweir.Process
	conn    *websocket.Conn
	id      int
}

// obsFiles are its configuration, but for the addresses: a profile that streams
// to a custom server and reconnects after a second, and a scene of one colour.
var obsFiles = map[string]string{
	"global.ini": `[General]
FirstRun=true
EnableAutoUpdates=false
[Basic]
Profile=weir
ProfileDir=weir
SceneCollection=weir
SceneCollectionFile=weir
[BasicWindow]
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort=%[2]s
AlertsEnabled=false
AuthRequired=false
`,
	"basic/profiles/weir/basic.ini": `[General]
Name=weir
[Video]
BaseCX=320
BaseCY=180
OutputCX=320
OutputCY=180
FPSType=0
FPSCommon=30
[Output]
Mode=Simple
Reconnect=true
RetryDelay=1
MaxRetries=100
[SimpleOutput]
VBitrate=300
ABitrate=64
StreamEncoder=x264
UseAdvanced=true
Preset=ultrafast
x264Settings=keyint=30
[Audio]
SampleRate=44100
`,
	"basic/profiles/weir/service.json": `{"type":"rtmp_custom","settings":{"server":"rtmp://%[1]s/live","key":"%[3]s"}}`,
	"basic/scenes/weir.json": `{"name":"weir","current_scene":"Scene","current_program_scene":"Scene","scene_order":[{"name":"Scene"}],
"sources":[{"id":"scene","versioned_id":"scene","name":"Scene","settings":{"custom_size":false,"id_counter":0,"items":[]}}]}`,
}

// screens counts those of this process.
var screens atomic.Int32

// startOBS starts OBS, which streams to an application live with a key at once.
func startOBS(t *testing.T, rtmp, key string) *obs {
	t.Helper()
	control := testweir.FreeAddress(t)
	_, port, err := net.SplitHostPort(control)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	for name, text := range obsFiles {
		file := filepath.Join(home, "obs-studio", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "%[") {
			text = fmt.Sprintf(text+"%.0[1]s%.0[2]s%.0[3]s", rtmp, port, key)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A screen of its own, and no sound card.
	display := fmt.Sprintf(":%d", 100+(8*os.Getpid()+int(screens.Add(1)))%900)
	testweir.Spawn(t, nil, "Xvfb", display, "-screen", "0", "640x480x24", "-nolisten", "tcp")
	testweir.Eventually(t, 20*time.Second, "the screen is there", func() bool {
		_, err := os.Stat("/tmp/.X11-unix/X" + display[1:])
		return err == nil
	})
	o := &obs{t: t}
	o.process = testweir.Spawn(t, []string{
		"DISPLAY=" + display, "HOME=" + home, "XDG_CONFIG_HOME=" + home, "LIBGL_ALWAYS_SOFTWARE=1", "QT_QPA_PLATFORM=xcb",
	}, "obs", "--profile", "weir", "--collection", "weir", "--startstreaming", "--minimize-to-tray", "--multi")
	testweir.Eventually(t, time.Minute, "OBS listens", func() bool {
		conn, _, err := websocket.Dial(t.Context(), "ws://127.0.0.1:"+port, nil)
		o.conn = conn
		return err == nil
	})
	t.Cleanup(func() { _ = o.conn.CloseNow() })
	o.say(1, map[string]any{"rpcVersion": 1, "eventSubscriptions": 0})
	o.hear(2)
	return o
}

// say sends a message of obs-websocket's protocol, version 5.
func (o *obs) say(op int, data any) {
	o.t.Helper()
	b, err := json.Marshal(map[string]any{"op": op, "d": data})
	if err == nil {
		err = o.conn.Write(o.t.Context(), websocket.MessageText, b)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// hear waits for a message of the kind.
func (o *obs) hear(op int) json.RawMessage {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, b, err := o.conn.Read(ctx)
		if err != nil {
			o.t.Fatalf("OBS: %v", err)
		}
		var m struct {
			Op int             `json:"op"`
			D  json.RawMessage `json:"d"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			o.t.Fatal(err)
		}
		if m.Op == op {
			return m.D
		}
	}
}

// ask makes a request, as StartStream, and reports whether OBS did it.
func (o *obs) ask(request string) bool {
	o.t.Helper()
	o.id++
	o.say(6, map[string]any{"requestType": request, "requestId": fmt.Sprint(o.id)})
	var answer struct {
		RequestStatus struct{ Result bool }
	}
	if err := json.Unmarshal(o.hear(7), &answer); err != nil {
		o.t.Fatal(err)
	}
	return answer.RequestStatus.Result
}

// hasOBSFacts wants the line about the end of OBS's stream to say what it was.
func hasOBSFacts(t *testing.T, said string) {
	t.Helper()
	for _, want := range []string{`"reason":"unpublished"`, `"video":"avc1.`, `"size":"320x180"`, `"audio":"mp4a.40.2"`, `"encoder":"obs-output module`} {
		if !strings.Contains(said, want) {
			t.Errorf("the line about OBS's stream does not say %s", want)
		}
	}
}

// TestOBS: OBS streams, and stops. Its evening is TestSoakOBS.
func TestOBS(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	o := startOBS(t, s.RTMP, "obs")
	testweir.Eventually(t, time.Minute, "OBS streams, and there is a segment", func() bool {
		x, ok := s.Stream(t, "obs")
		return ok && x.State == "live" && x.Segments > 0
	})
	if !o.ask("StopStream") {
		t.Fatal("OBS does not stop")
	}
	s.WaitForEnd(t, "obs", 20*time.Second)
	testweir.Conforms(t, s.Objects(""))
	hasOBSFacts(t, s.Output.String())
}
