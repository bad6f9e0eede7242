// What the API's figures read like to people. Pure functions.

const video = {
  avc1: (rest) => "H.264" + ({ 42: " Baseline", "4d": " Main", 58: " Extended", 64: " High", "6e": " High 10" }[rest.slice(0, 2).toLowerCase()] ?? ""),
  hvc1: () => "HEVC",
  hev1: () => "HEVC",
  av01: () => "AV1",
  vp09: () => "VP9",
};
video.avc3 = video.avc1;

const mp4a = { "40.2": "AAC", "40.5": "HE-AAC", "40.29": "HE-AAC v2", "40.34": "MP3", "6b": "MP3" };

/** codec names an RFC 6381 codec: avc1.64001f is H.264 High. */
export function codec(id) {
  const [kind, ...rest] = (id ?? "").split(".");
  if (kind === "mp4a") return mp4a[rest.join(".").toLowerCase()] ?? "AAC";
  if (kind === "opus" || kind === "Opus") return "Opus";
  return video[kind]?.(rest.join(".")) ?? kind;
}

/** bitrate of bits per second. */
export function bitrate(bps) {
  if (bps >= 999_500) return `${(bps / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bps / 1e3)} kbit/s`;
}

/** duration of whole seconds: 0:07, 12:03, 2:03:04, 3 d 4 h. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s >= 48 * 3600) return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  const two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** size of a picture: 1280×720. */
export function size(v) {
  return v?.width && v?.height ? `${v.width}×${v.height}` : "";
}

/** rate of frames per second: 30 fps, 29.97 fps. */
export function rate(v) {
  return v?.frame_rate ? `${Number(v.frame_rate.toFixed(2))} fps` : "";
}

/** sound: AAC 48 kHz stereo. */
export function sound(a) {
  if (!a) return "";
  const channels = { 1: "mono", 2: "stereo", 6: "5.1" }[a.channels];
  return [codec(a.codec), a.sample_rate && `${a.sample_rate / 1000} kHz`, channels].filter(Boolean).join(" ");
}

/** state of a stream. */
export function state(s) {
  return { live: "Live", waiting: "Reconnecting", ended: "Ended" }[s] ?? s;
}

/** summary of a list of streams, and of more that are on and not in it. */
export function summary(streams, more = 0) {
  const live = streams.filter((s) => s.state === "live").length;
  const waiting = streams.filter((s) => s.state === "waiting").length;
  if (!live && !waiting) return streams.length ? "Nothing is live now" : "Waiting for a stream";
  return [live && `${live} live`, waiting && `${waiting} reconnecting`, more > 0 && `${more} more`].filter(Boolean).join(", ");
}
