// One <video> element that plays one HLS stream and does not give up on it.

const library = "vendor/hls.js/hls.min.js";
const retry = 1500; // ms

/** msePlays tells whether hls.js can work here; else the browser must know HLS itself. */
const msePlays = "MediaSource" in window || "ManagedMediaSource" in window;

let loading;
/** loadLibrary fetches hls.js when a stream is first played, once. */
function loadLibrary() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(library, import.meta.url);
    script.onload = () => resolve(window.Hls);
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error("hls.js did not load"));
    };
    document.head.append(script);
  });
  return loading;
}

/**
 * Player shows a stream's state through onState: "loading", "missing" (no
 * playlist yet), "playing", "paused", "stalled", "blocked" (the browser wants
 * a click first), "ended", "unsupported".
 */
export class Player {
  #video; #onState; #hls; #url = ""; #timer; #recovered = 0; #turn = 0;

  constructor(video, onState) {
    this.#video = video;
    this.#onState = onState;
    const on = (event, state) => video.addEventListener(event, () => this.#url && onState(state));
    on("playing", "playing");
    on("waiting", "stalled");
    on("pause", "paused");
    on("ended", "ended");
    video.addEventListener("error", () => {
      if (this.#url && !this.#hls) this.#again("missing");
    });
  }

  /** latency is how far behind the live edge the picture is, in seconds; 0 where unknown. */
  get latency() { return this.#hls?.latency ?? 0; }

  /** play shows the stream at url, from its live edge, or its start if it has ended. */
  play(url) {
    this.#url = url;
    this.#onState("loading");
    this.#start();
  }

  stop() {
    this.#url = "";
    this.#clear();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #clear() {
    this.#turn++;
    clearTimeout(this.#timer);
    this.#hls?.destroy();
    this.#hls = undefined;
  }

  /** again starts over in a moment: the stream may not have its playlist yet. */
  #again(state) {
    this.#onState(state);
    this.#clear();
    this.#timer = setTimeout(() => this.#start(), retry);
  }

  async #start() {
    this.#clear();
    const turn = this.#turn;
    if (!msePlays) {
      if (!this.#video.canPlayType("application/vnd.apple.mpegurl")) return this.#onState("unsupported");
      this.#video.src = this.#url;
      return this.#begin();
    }
    let Hls;
    try {
      Hls = await loadLibrary();
    } catch {
      if (turn === this.#turn) this.#again("loading");
      return;
    }
    if (turn !== this.#turn) return; // stopped, or another stream, meanwhile
    if (!Hls.isSupported()) return this.#onState("unsupported");
    const hls = new Hls({ lowLatencyMode: false, backBufferLength: 30, liveSyncDurationCount: 3, liveMaxLatencyDurationCount: 10 });
    this.#hls = hls;
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.#begin());
    hls.on(Hls.Events.ERROR, (_, error) => error.fatal && this.#failed(Hls, error));
    hls.loadSource(this.#url);
    hls.attachMedia(this.#video);
  }

  #begin() {
    this.#video.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#onState("blocked");
    });
  }

  #failed(Hls, error) {
    const now = performance.now();
    if (error.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.#recovered > 5000) {
      this.#recovered = now;
      this.#hls.recoverMediaError();
      return;
    }
    this.#again(error.type === Hls.ErrorTypes.NETWORK_ERROR ? "missing" : "stalled");
  }
}
