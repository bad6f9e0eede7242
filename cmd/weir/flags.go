package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"weir/api"
	"weir/auth"
	"weir/bus"
	"weir/endpoint"
	"weir/hls"
	"weir/ingest"
	"weir/origin"
	"weir/segmenter"
	"weir/storage"
)

// All that can be said to weir. A flag --log-level is also the variable
// WEIR_LOG_LEVEL; a verb's file tells what is done with it.

// cli is the command line.
type cli struct {
	Log logFlags `embed:"" prefix:"log-"`

	Serve   serveCmd   `cmd:"" set:"admin_absent=A socket under --data is there besides." set:"nats_absent=Absent: an embedded server under --data." set:"store_absent=Absent: under --data." set:"keys_absent= Absent: keys in --data." help:"Run everything in one process: RTMP in, HLS out."`
	Demo    demoCmd    `cmd:"" set:"admin_absent=A socket under --data is there besides." set:"nats_absent=Absent: an embedded server under --data." set:"store_absent=Absent: under --data." set:"keys_absent= Absent: keys in --data." help:"Run serve, and publish a bundled clip to it."`
	Ingest  ingestCmd  `cmd:"" set:"ops_http=${ingest_http}" help:"Run one ingest: encoders come in, batches go to the log."`
	Segment segmentCmd `cmd:"" set:"ops_http=${segment_http}" help:"Run one segmenter: batches come in, objects go to the store."`
	Origin  originCmd  `cmd:"" help:"Run one origin: objects over HTTP, the page, the API."`
	Push    pushCmd    `cmd:"" help:"Publish an FLV file, as an encoder would."`
	Streams streamsCmd `cmd:"" help:"List the streams."`
	Key     keyCmd     `cmd:"" help:"Make, list and revoke stream keys."`
	Kick    kickCmd    `cmd:"" set:"nats_absent=Absent: --url or --http is asked." help:"Throw out the encoder of a stream, and end its broadcast."`
	Check   checkCmd   `cmd:"" help:"Check HLS for conformance: a URL, a directory or a file."`
	Bench   benchCmd   `cmd:"" help:"Publish many streams to a server, and measure what it spends on them."`
	Store   storeCmd   `cmd:"" help:"Look after a store: check, sweep, recover."`
	Plan    planCmd    `cmd:"" help:"Tell what a store is asked for, and what that costs."`
	Health  healthCmd  `cmd:"" help:"Ask a running weir whether it is ready (for containers)."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// serveCmd runs everything in one process.
type serveCmd struct {
	serveFlags
}

// demoCmd is serve with a show.
type demoCmd struct {
	serveFlags
}

// serveFlags are those of serve and demo.
type serveFlags struct {
	Data    string   `help:"Directory of the embedded NATS server and of the objects." default:"${data}" placeholder:"DIR"`
	DataMax byteSize `help:"Most bytes under --data: at most a quarter for the frame log, the rest for objects. Absent: what the disk has." placeholder:"SIZE"`
	rtmpFlags
	httpFlags
	segmentFlags
	natsFlags
	storeFlags
	tlsFlags
}

// ingestCmd runs one ingest.
type ingestCmd struct {
	rtmpFlags
	tlsFlags
	natsFlags
	opsFlags `embed:""`
}

// segmentCmd runs one segmenter.
type segmentCmd struct {
	segmentFlags
	natsFlags
	storeFlags
	opsFlags `embed:""`
	Once     bool     `help:"Package one broadcast to its end, and exit."`
	Memory   byteSize `help:"Memory that this process may use: it takes one broadcast for each 16 MB, up to --capacity, and collects garbage in time. Absent: no bound." placeholder:"SIZE"`
}

// originCmd runs one origin.
type originCmd struct {
	httpFlags
	tlsFlags
	natsFlags
	storeFlags
	Segment time.Duration `help:"Duration of segments, for cache times." default:"${segment}"`
}

// pushCmd publishes a file.
type pushCmd struct {
	File    string `arg:"" help:"FLV file; - is the standard input. Anything else: ffmpeg -i FILE -c copy -f flv - | weir push - URL."`
	URL     string `arg:"" optional:"" env:"WEIR_PUSH_URL" help:"Where to publish, as in rtmp://localhost/live/alice. Others see the command line: a URL that holds a secret is better given by --url-file, or as WEIR_PUSH_URL."`
	URLFile string `name:"url-file" help:"File with the URL." placeholder:"FILE"`
	Loop    bool   `help:"Begin again at the file's end, with timestamps that go on."`
	Fast    bool   `help:"Send as fast as the server takes it, not in real time."`
	Once    bool   `help:"Give up when the connection is lost. Without it push connects again for ever, once it was connected; before that it tries for 20 s."`
}

// streamsCmd lists the streams.
type streamsCmd struct {
	apiFlags
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print the API's answer."`
	All        bool `help:"List streams that have ended, too."`
}

// kickCmd ends what an encoder publishes, and with it the broadcast.
type kickCmd struct {
	apiFlags
	Stream string `arg:"" help:"Whom to throw out, as in live/alice."`
	natsAddress
	adminFlags `embed:""`
}

// keyCmd looks after the stream keys of --publish-auth keys.
type keyCmd struct {
	New    keyNewCmd    `cmd:"" set:"nats_absent=Only with --keys nats." help:"Make a stream key, and print it once: only its hash is kept."`
	List   keyListCmd   `cmd:"" set:"nats_absent=Only with --keys nats." help:"List the stream keys."`
	Revoke keyRevokeCmd `cmd:"" set:"nats_absent=Only with --keys nats." help:"Take stream keys back: whoever publishes with one is thrown out within a second."`
}

// keyNewCmd makes a key.
type keyNewCmd struct {
	keyFlags
	Stream   string        `arg:"" help:"What it publishes, as in live/alice: the name that viewers see."`
	Key      string        `help:"The key; others see a flag. Absent: a random one." placeholder:"SECRET"`
	Owner    string        `help:"Whose it is, for lists and logs." placeholder:"NAME"`
	Conflict string        `help:"When its stream is live and is published again: takeover or reject. Absent: as --publish-conflict says." enum:",takeover,reject" default:"" placeholder:"POLICY"`
	For      time.Duration `help:"How long it is good. Absent: until it is revoked." placeholder:"DURATION"`
	Server   string        `help:"Where encoders publish, for what is printed." default:"rtmp://localhost" placeholder:"URL"`

	MaxBitrate  bitRate       `help:"Most that may come, in bit/s, over seconds: 800k, 8M." placeholder:"RATE"`
	MaxDuration time.Duration `help:"How long one publish may last." placeholder:"DURATION"`
	MaxSize     string        `help:"Largest picture, upright or not, as in 1920x1080." placeholder:"SIZE"`
	Codecs      []string      `help:"All that may be sent, as in avc1,mp4a." placeholder:"CODEC"`
	MaxSessions int           `help:"How many streams of its owner may be live at a time." placeholder:"N"`
}

// keyListCmd lists keys.
type keyListCmd struct {
	keyFlags
	JSON bool `name:"json" help:"Print them as JSON."`
}

// keyRevokeCmd revokes keys.
type keyRevokeCmd struct {
	keyFlags
	Which string `arg:"" help:"The key's id, as weir key list has it, or a stream, as in live/alice: all of its keys."`
}

// keyFlags say where stream keys are kept.
type keyFlags struct {
	Keys string `help:"File with the keys' hashes, or nats. Absent: keys in --data." placeholder:"FILE|nats"`
	Data string `help:"Directory of the weir serve whose keys they are." default:"${data}" placeholder:"DIR"`
	natsAddress
}

// healthCmd is the health command of containers.
type healthCmd struct {
	apiFlags
}

// storeCmd looks after a store.
type storeCmd struct {
	Check storeCheckCmd `cmd:"" help:"Try what weir asks of a store, with advice for what fails."`
	Sweep storeSweepCmd `cmd:"" set:"nats_absent=Absent: what is live is told by playlists alone." help:"Find what nobody will ask for: orphans, and broadcasts past their time. Deletes only with --delete."`

	Recover storeRecoverCmd `cmd:"" set:"nats_absent=It must be given." help:"Tell NATS, when it has lost its disk, of the broadcasts that the store has without an end: workers go on with them."`
}

// storeCheckCmd probes a store. It exits with 1 if weir cannot work with it.
type storeCheckCmd struct {
	URL    string `arg:"" help:"The store, as --store takes it." placeholder:"URL"`
	Base   string `help:"URL below which viewers find the objects: of the bucket, or of the CDN before it. Absent: the bucket's own; none: viewers come by weir origin." placeholder:"URL"`
	Origin string `help:"Origin of the page that players run in." placeholder:"URL"`
}

// storeSweepCmd sweeps a store.
type storeSweepCmd struct {
	URL    string        `arg:"" help:"The store, as --store takes it." placeholder:"URL"`
	Delete bool          `help:"Delete what is found."`
	Expire time.Duration `help:"Take whole broadcasts, too, whose last write is so long ago. Absent: none." placeholder:"DURATION"`
	Grace  time.Duration `help:"How old an orphan must be." default:"24h"`
	Prefix string        `help:"Sweep only below app/, app/name/ or app/name/broadcast/." placeholder:"KEY"`
	All    bool          `help:"Print each object, not only a line for each broadcast."`
	natsAddress
}

// storeRecoverCmd tells NATS what the store has without an end.
type storeRecoverCmd struct {
	URL    string `arg:"" help:"The store, as --store takes it." placeholder:"URL"`
	Prefix string `help:"Recover only below app/, app/name/ or app/name/broadcast/." placeholder:"KEY"`
	natsAddress
}

// planCmd tells beforehand what a store is asked for, and what that costs.
type planCmd struct {
	Streams    int           `help:"Streams that are live, all the time." default:"1"`
	Renditions int           `help:"Renditions of each." default:"1"`
	Hours      float64       `help:"For how long." default:"1"`
	Segment    time.Duration `help:"Duration of a segment." default:"${segment}"`
	Window     time.Duration `help:"How much of the show a live playlist lists." default:"${window}"`
	Bitrate    bitRate       `help:"Of each rendition, as its encoder sends it, in bit/s: 800k, 4M." default:"4M"`
	Viewers    float64       `help:"Viewers at a time, all streams together, who read the store itself; behind a CDN, its misses."`
	Keep       storage.Keep  `help:"How long objects stay: none, window, a duration as in 720h, or forever." default:"forever"`
	Prices     *os.File      `help:"JSON file with prices, in the form of storage/prices.json. Absent: that example." placeholder:"FILE"`
	JSON       bool          `name:"json" help:"Print the plan as JSON."`
}

// versionCmd tells which weir this is.
type versionCmd struct{}

// logFlags say what is logged, and how.
type logFlags struct {
	Level  slog.Level `help:"Least level to log: debug, info, warn, error." default:"info"`
	Format string     `help:"text, json, or auto: text on a terminal." enum:"auto,text,json" default:"auto"`
}

// natsAddress says where the frame log is.
type natsAddress struct {
	NATS      string `name:"nats" help:"NATS servers, as in nats://host:4222. ${nats_absent}" placeholder:"URL"`
	NATSFile  string `name:"nats-file" help:"File with what --nats would be: for URLs with a password." placeholder:"FILE"`
	NATSCreds string `name:"nats-creds" help:"NATS credentials file." placeholder:"FILE"`
	NATSCA    string `name:"nats-ca" help:"PEM file with the authority of the NATS servers' certificates." placeholder:"FILE"`
}

// natsFlags say where the frame log is, and what it keeps.
type natsFlags struct {
	natsAddress
	Node     string        `help:"What this process is called in the registry. Absent: the host's name." placeholder:"NAME"`
	Retain   time.Duration `help:"How long the frame log keeps frames. Absent: as it does, or ${retain} where it is created." placeholder:"DURATION"`
	Replicas int           `help:"Copies of the log and the registry that NATS keeps. Absent: as it does, or 1 where they are created." placeholder:"N"`
	Shards   int           `help:"JetStream streams that share the log, fixed when it is created. Absent: as many as there are, or 1." placeholder:"N"`
	LogMax   byteSize      `name:"log-max" help:"Most bytes of frame log on disk, per shard; the oldest goes first. Absent: as it is, or ${log_max} where it is created." placeholder:"SIZE"`
}

// storeFlags say where objects go.
type storeFlags struct {
	Store string `help:"Where objects go: file:///path or s3://bucket/prefix?endpoint=…&region=…&path-style=true. ${store_absent}" placeholder:"URL"`
}

// rtmpFlags say how encoders come in.
type rtmpFlags struct {
	RTMP            string        `name:"rtmp" help:"Where encoders connect. The default is this machine only; :1935 opens it to the world, and needs --publish-auth." default:"${rtmp}" placeholder:"ADDR"`
	RTMPS           string        `name:"rtmps" help:"The same over TLS, as in :443 or :1936. Needs --tls-cert and --tls-key. Absent: nowhere." placeholder:"ADDR"`
	RTMPT           string        `name:"rtmpt" help:"Where encoders connect that reach only HTTP: RTMP in POST requests, as in :80. Absent: nowhere." placeholder:"ADDR"`
	RTMPTS          string        `name:"rtmpts" help:"RTMP in POST requests over TLS, as in :443. Needs --tls-cert and --tls-key. Absent: nowhere." placeholder:"ADDR"`
	Batch           time.Duration `help:"How long frames wait to be sent to the log together." default:"${batch}"`
	PublishConflict string        `help:"When a live stream is published again: takeover (the newcomer gets it; encoders that take it from each other again and again have to wait, see docs/limits.md) or reject (it is refused while the one that is there is)." enum:"takeover,reject" default:"takeover"`
	ReconnectWindow time.Duration `help:"How long a broadcast waits for its encoder to come back." default:"${reconnect_window}"`
	IdleTimeout     time.Duration `help:"How long an encoder may be silent." default:"${idle_timeout}"`
	BusTimeout      time.Duration `help:"How long a session with a full buffer waits for the log." default:"${bus_timeout}"`
	MaxMessage      byteSize      `help:"Largest frame." default:"${max_message}"`
	MaxConnections  int           `help:"Most connections at once. Where one more comes, one goes that has sent no media." default:"${max_connections}"`
	MaxPerAddress   int           `name:"max-connections-per-address" help:"Most connections of one address, or IPv6 /64 network, at once. Absent: a quarter of --max-connections." placeholder:"N"`
	MaxPublishes    int           `name:"max-publishes-per-address" help:"Most publishes that one address begins in a minute." default:"${max_publishes}"`
	MaxSpeed        int           `help:"How many times as fast as the clock an encoder may send, after two minutes in advance; 0: any." default:"${max_speed}"`
	IngestMemory    byteSize      `help:"Most memory for frames that arrive or wait for the log." default:"${ingest_memory}"`
	Drain           time.Duration `help:"How long sessions may take to end after SIGTERM." default:"${drain}"`
	authFlags
}

// tlsFlags say how connections are secured, and through which proxies they come.
type tlsFlags struct {
	TLSCert       []string `name:"tls-cert" help:"PEM file with the certificate of what listens by TLS, and those between it and the authority; several with commas between, of which who connects gets the one for the host that it names. Read anew when it changes." placeholder:"FILE"`
	TLSKey        []string `name:"tls-key" help:"PEM file with its key, or theirs." placeholder:"FILE"`
	ProxyProtocol []string `help:"Networks of load balancers that say who connects (PROXY protocol, 1 or 2), to all listeners of encoders and viewers: they must. As in 10.0.0.0/8, several with commas between." placeholder:"CIDR"`
}

// authFlags say who may publish.
type authFlags struct {
	PublishAuth    string        `help:"Who may publish: open (anyone, under any name), keys (who has a stream key: weir key), webhook (whom --auth-url lets in), nginx (likewise, asked as nginx-rtmp does), jwt (who has a signed token). Absent: open, on this machine only. See docs/auth.md." enum:",open,keys,webhook,nginx,jwt" default:"" placeholder:"MODE"`
	Keys           string        `help:"Where stream keys are kept: a file, which is watched, or nats, for all ingests.${keys_absent}" placeholder:"FILE|nats"`
	AuthURL        string        `name:"auth-url" help:"Whom webhook and nginx ask, by POST." placeholder:"URL"`
	AuthSecret     string        `help:"What signs the questions of webhook (Standard Webhooks). Others see a flag: better is --auth-secret-file, or the variable." placeholder:"SECRET"`
	AuthSecretFile string        `help:"File with it." placeholder:"FILE"`
	AuthTimeout    time.Duration `help:"How long --auth-url may take to answer; it is asked three times." default:"${auth_timeout}"`
	JWTSecret      string        `name:"jwt-secret" help:"What signs tokens with HS256. Others see a flag: better is --jwt-secret-file, or the variable." placeholder:"SECRET"`
	JWTSecretFile  string        `name:"jwt-secret-file" help:"File with it." placeholder:"FILE"`
	JWTKeys        string        `name:"jwt-keys" help:"The public keys of who signs tokens with RS256, ES256 or EdDSA: a file (PEM or a JSON Web Key Set), or the URL of such a set." placeholder:"FILE|URL"`
	JWTIssuer      string        `name:"jwt-issuer" help:"What a token must have as iss. Absent: anything." placeholder:"TEXT"`
	JWTAudience    string        `name:"jwt-audience" help:"What a token must have as aud. Absent: anything." placeholder:"TEXT"`
}

// segmentFlags say how broadcasts that begin now are cut.
type segmentFlags struct {
	Segment  time.Duration `help:"Wished duration of a segment; the encoder's key frames decide." default:"${segment}"`
	Window   time.Duration `help:"How much of the show a live playlist lists." default:"${window}"`
	Keep     storage.Keep  `help:"How long objects stay: forever; a duration as in 720h, by the tag weir-keep and a lifecycle rule, or weir store sweep; window: while live, only what players may ask for; none: that, and a tag to remove the rest." default:"forever"`
	Capacity int           `help:"Most broadcasts that this process packages at once." default:"${capacity}"`
	// What runs ahead where a store takes longer for a request than a segment lasts.
	UploadAhead    byteSize `help:"Memory for segments that are uploaded while an older one of their broadcast still is, over all broadcasts; 0: one after the other." default:"${upload_ahead}"`
	UploadRequests int      `help:"Most such uploads at once." default:"${upload_requests}"`
}

// httpFlags say how viewers come in.
type httpFlags struct {
	HTTP            string  `name:"http" help:"Where viewers connect." default:"${http}" placeholder:"ADDR"`
	HTTPS           string  `name:"https" help:"Where viewers connect by TLS, as in :443. Needs --tls-cert and --tls-key. Absent: nowhere." placeholder:"ADDR"`
	HTTPConnections int     `name:"http-connections" help:"Most connections of viewers at once; each takes about 20 kB." default:"${http_connections}"`
	HTTPPerAddress  int     `name:"http-connections-per-address" help:"Most of them from one address, or IPv6 /64 network. Absent: as many; a proxy has those of all its viewers." placeholder:"N"`
	BaseURL         baseURL `name:"base-url" help:"This server as viewers see it, behind a proxy or a CDN." placeholder:"URL"`
	AdminHTTP       string  `name:"admin-http" help:"Where operators connect: metrics, nodes, and with the admin token kick. HOST:PORT, or unix:PATH for this user only, who needs no token; the same as --http puts it all there. ${admin_absent}" placeholder:"ADDR"`
	adminFlags
}

// opsFlags are the HTTP side of a stage that viewers do not see.
type opsFlags struct {
	HTTP string `name:"http" help:"Where /metrics, /healthz, /readyz and the API are." default:"${ops_http}" placeholder:"ADDR"`
	adminFlags
}

// adminFlags say who may change things through the API.
type adminFlags struct {
	AdminToken     string `help:"What operators bring as a bearer token: without it nobody changes anything, but over a socket of the same user. Others see a flag: better is --admin-token-file, or the variable." placeholder:"SECRET"`
	AdminTokenFile string `help:"File with the admin token." placeholder:"FILE"`
}

// apiFlags say where a running weir answers.
type apiFlags struct {
	URL  string `name:"url" help:"A running weir's address: http://…, https://…, or unix:PATH." placeholder:"URL"`
	HTTP string `name:"http" help:"Without --url: what a weir on this machine, or in this container, was given as --http." default:"${http}" placeholder:"ADDR"`
	Data string `help:"Without --url and --http: the directory of a weir serve, whose socket is there." default:"${data}" placeholder:"DIR"`
}

// defaults are what flags have that nobody gives. Each is the room's that it
// configures.
func defaults() kong.Vars {
	return kong.Vars{
		"data": "./weir-data", "rtmp": net.JoinHostPort("localhost", strconv.Itoa(api.RTMPPort)), "http": api.DefaultHTTP,
		"http_connections": strconv.Itoa(origin.DefaultConnections), "ingest_http": api.DefaultIngestHTTP, "segment_http": api.DefaultSegmentHTTP,
		"max_connections": strconv.Itoa(endpoint.DefaultMaxConnections), "drain": endpoint.DefaultDrain.String(),
		"max_publishes": strconv.Itoa(endpoint.DefaultMaxPublishes), "max_speed": strconv.Itoa(ingest.DefaultMaxSpeed),
		"batch": ingest.DefaultBatch.String(), "max_message": byteSize(ingest.DefaultMaxMessage).String(), "ingest_memory": byteSize(ingest.DefaultBuffer).String(),
		"auth_timeout": auth.DefaultTimeout.String(),
		"idle_timeout": ingest.DefaultIdleTimeout.String(), "bus_timeout": ingest.DefaultBusTimeout.String(),
		"retain": bus.DefaultRetain.String(), "log_max": byteSize(bus.DefaultNewMaxBytes).String(),
		"reconnect_window": bus.DefaultReconnectWindow.String(), "capacity": strconv.Itoa(bus.DefaultCapacity),
		"segment": hls.DefaultSegment.String(), "window": hls.DefaultWindow.String(),
		"upload_ahead": byteSize(segmenter.DefaultAheadBytes).String(), "upload_requests": strconv.Itoa(segmenter.DefaultAheadRequests),
		// What is said of flags that several verbs share, where it differs.
		"nats_absent": "This stage shares them with the others, and needs them.", "store_absent": "This stage shares it with the others, and needs it.",
		"admin_absent": "Absent: nowhere.", "keys_absent": "",
	}
}

// baseURL is a server's root as viewers see it.
type baseURL struct{ url *url.URL }

// UnmarshalText reads https://weir.example.net, or with a path below it.
func (b *baseURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("want http or https, a host and perhaps a path, as in https://weir.example.net")
	}
	b.url = u
	return nil
}

// byteSize is a number of bytes with an optional unit, 1024-based.
type byteSize int64

// UnmarshalText reads 512, 64KB, 8MB, 1.5GB.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(text)))
	factor := 1.0
	for i, unit := range []string{"KB", "MB", "GB", "TB"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			s, factor = n, float64(int64(1)<<(10*(i+1)))
		}
	}
	var n float64
	if _, err := fmt.Sscanf(s+"\n", "%g\n", &n); err != nil || n < 0 {
		return fmt.Errorf("want a size as in 512MB or 8GB")
	}
	*b = byteSize(n * factor)
	return nil
}

// String writes the size with the largest unit that it is a multiple of.
func (b byteSize) String() string {
	n, unit := int64(b), 0
	units := []string{"", "KB", "MB", "GB", "TB"}
	for n != 0 && n%1024 == 0 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprint(n, units[unit])
}

// bitRate is in bit/s, with an optional unit, 1000-based.
type bitRate int64

// UnmarshalText reads 128000, 800k, 4M, 1.5M.
func (b *bitRate) UnmarshalText(text []byte) error {
	s, factor := string(text), 1.0
	for unit, f := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			s, factor = n, f
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n*factor > 1e12 {
		return fmt.Errorf("want bits per second, as in 800k or 4M")
	}
	*b = bitRate(n * factor)
	return nil
}
