// The page: asks the API every two seconds and shows what it says.

import { Player } from "./player.js";
import * as text from "./text.js";

const $ = (id) => document.getElementById(id);
const every = 2000; // ms between two looks at the API

const most = 200; // streams that are listed, of those that are on and of those that are over

let streams = []; // as the API gave them, live ones first
let more = 0; // that are on, too, and are not listed
let over = []; // those that have ended
let looks = 0;
let operator = false; // who looks sees what operators see
let refusals = []; // publishes that were refused, the newest first
let chosen = new URLSearchParams(location.search).get("stream");
let shown = ""; // the broadcast that the player was started on
let playing = "loading";

const player = new Player($("video"), (state) => {
  playing = state;
  showNotice();
});

// ---- asking

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const order = { live: 0, waiting: 1, ended: 2 };

async function look() {
  if (document.hidden && streams.length) return; // nobody looks: the player needs no list
  try {
    const on = await ask(`api/v1/streams?state=live,waiting&limit=${most}`);
    const gone = streams.some((s) => s.state !== "ended" && !on.streams.some(({ name }) => name === s.name));
    if (gone || looks++ % 5 === 0) over = (await ask(`api/v1/streams?state=ended&limit=${most}`)).streams;
    const all = [...on.streams, ...over.filter((s) => !on.streams.some(({ name }) => name === s.name))];
    if (chosen && !all.some((s) => s.name === chosen)) all.push(...await one(chosen));
    streams = all.sort((a, b) => (order[a.state] ?? 3) - (order[b.state] ?? 3));
    more = on.total - on.streams.length;
    if (operator) ({ refusals } = await ask("api/v1/refusals").catch(() => ({ refusals })));
    show();
  } catch {
    $("summary").textContent = "The server does not answer, trying again…";
  }
}

/** one is the stream of a link, if there is one, where the lists are too short for it. */
async function one(name) {
  if (!name.includes("/")) return [];
  const answer = await fetch(`api/v1/streams/${name.split("/").map(encodeURIComponent).join("/")}`, { signal: AbortSignal.timeout(5000) });
  return answer.ok ? [await answer.json()] : [];
}

async function lookAlways() {
  await look();
  setTimeout(lookAlways, every);
}

// ---- showing

/** element makes one: a string child is text, never markup. */
function element(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

/** fill makes list's children those of make(item), and touches the document
 * only where they differ: what has the keyboard's focus keeps it. */
function fill(list, items, make) {
  const next = list.cloneNode(false);
  next.append(...items.map(make));
  patch(list, next);
}

/** patch makes the node now equal to next. */
function patch(now, next) {
  if (now.nodeName !== next.nodeName) return now.replaceWith(next);
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  for (const { name } of [...now.attributes]) if (!next.hasAttribute(name)) now.removeAttribute(name);
  for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  const children = [...next.childNodes];
  while (now.childNodes.length > children.length) now.lastChild.remove();
  children.forEach((child, i) => (i < now.childNodes.length ? patch(now.childNodes[i], child) : now.append(child)));
}

const words = (...list) => list.filter(Boolean).map((word) => element("li", {}, word));
const pageLink = (name) => "?" + new URLSearchParams({ stream: name }).toString().replaceAll("%2F", "/");
/** entryOf is the entry point of a stream, whatever is shown there; playlist that of one broadcast. */
const entryOf = (s) => (s.playlist && s.broadcast ? s.playlist.replace(`/${s.broadcast}/`, "/") : playlistOf(s.name));
const playlistOf = (name) => `hls/${name.split("/").map(encodeURIComponent).join("/")}/index.m3u8`;
const absolute = (link) => new URL(link, document.baseURI).href;

function show() {
  const current = choose();
  $("summary").textContent = text.summary(streams, more);
  $("board").hidden = !current;
  $("board").classList.toggle("alone", streams.length === 1 && streams[0].name === chosen);
  $("empty").hidden = Boolean(current);
  $("operator").hidden = !refusals.length && !streams.some((s) => s.ingest || s.worker); // viewers are not told
  $("refusals").hidden = !refusals.length;
  fill($("refused"), refusals, refusal);
  fill($("list"), streams, listItem);
  fill($("rows"), streams, row);
  if (current) showCurrent(current);
}

/** choose returns the stream that the player is for: the one asked for, or the
 * first there is. It starts the player when that is another broadcast, or has
 * got its playlist. */
function choose() {
  chosen ??= streams[0]?.name ?? null;
  if (chosen === null) return null;
  const known = streams.find((s) => s.name === chosen);
  const current = known ?? { name: chosen, state: "unknown", playlist: playlistOf(chosen) };
  const broadcast = `${current.name} ${current.broadcast ?? ""} ${current.playlist ?? ""}`;
  if (shown !== broadcast) {
    shown = broadcast;
    if (current.playlist) {
      player.play(absolute(current.playlist));
    } else { // there is none before the first segment
      player.stop();
      playing = "missing";
    }
  }
  return current;
}

function listItem(s) {
  return element("li", {}, element("a", { class: "stream", href: pageLink(s.name), "data-stream": s.name, "aria-current": s.name === chosen && "true" },
    element("span", { class: `dot ${s.state}`, role: "img", "aria-label": text.state(s.state) }),
    element("span", { class: "name" }, s.name),
    element("span", { class: "when" }, s.state === "ended" ? "ended" : s.uptime_seconds ? text.duration(s.uptime_seconds) : ""),
    element("ul", { class: "spec" }, ...words(text.size(s.video), text.rate(s.video), s.video ? text.codec(s.video.codec) : text.sound(s.audio), s.bitrate && text.bitrate(s.bitrate)))));
}

function showCurrent(s) {
  document.title = `${s.name} · weir`;
  $("title").textContent = s.name;
  $("badge").textContent = s.state === "unknown" ? "Not live" : text.state(s.state);
  $("badge").className = `badge ${s.state}`;
  const video = $("video");
  const picture = text.size(s.video) || (video.videoWidth && `${video.videoWidth}×${video.videoHeight}`);
  const behind = s.state === "live" && playing === "playing" && player.latency > 0 && `${Math.round(player.latency)} s behind live`;
  fill($("facts"), words(picture, text.rate(s.video), s.video && text.codec(s.video.codec), text.sound(s.audio), s.bitrate && text.bitrate(s.bitrate),
    s.uptime_seconds && `up ${text.duration(s.uptime_seconds)}`, behind), (word) => word);
  fill($("advice"), s.advice ?? [], (a) => element("li", {}, a.text));
  showNotice();
}

function showNotice() {
  const state = streams.find((s) => s.name === chosen)?.state;
  const notice = {
    loading: "Loading…",
    missing: { live: "The first segment is on its way…", waiting: "The encoder is away. The picture comes back by itself.", ended: "This broadcast is not available." }[state]
      ?? `No stream is called ${chosen} now. It starts here as soon as it is live.`,
    stalled: state === "waiting" ? "The encoder is away. The picture comes back by itself." : "Waiting for data…",
    playing: $("video").videoWidth === 0 && "Sound only",
    blocked: "Press play to start.",
    ended: "This broadcast has ended.",
    unsupported: "This browser cannot play HLS. The playlist’s link works in any player.",
  }[playing];
  $("notice").textContent = notice || "";
  $("notice").hidden = !notice;
  $("notice").classList.toggle("over", ["playing", "stalled", "blocked", "ended"].includes(playing)); // a picture and its controls are there
  $("unmute").hidden = !(playing === "playing" && $("video").muted);
}

function row(s) {
  const number = (value) => element("td", { class: "number" }, value ?? "–");
  const lag = (seconds) => element("td", { class: seconds > 10 ? "number late" : "number" }, seconds === undefined ? "–" : `${seconds.toFixed(1)} s`);
  return element("tr", {}, element("th", { scope: "row" }, s.name), element("td", {}, text.state(s.state)), element("td", {}, s.ingest ?? "–"),
    element("td", {}, s.worker ?? "–"), lag(s.encoder_lag_seconds), lag(s.worker_lag_seconds), number(s.epoch), number(s.restarts));
}

/** refusal is the row of a publish that was refused: why an encoder does not connect. */
function refusal(r) {
  return element("tr", {}, element("th", { scope: "row" }, new Date(r.time).toLocaleTimeString()), element("td", { class: "number" }, String(r.times)),
    element("td", {}, [r.remote, r.transport].filter(Boolean).join(" ")), element("td", {}, r.encoder ?? "–"), element("td", {}, r.text || r.reason));
}

/** showCommand shows a command line that breaks between its parts. */
function showCommand(code, parts) {
  code.replaceChildren(...parts.flatMap((part, i) => (i ? [" ", element("span", {}, part)] : [element("span", {}, part)])));
}

async function showPublish() {
  const server = await ask("api/v1/server");
  if (server.version) $("version").textContent = `weir ${server.version}`;
  $("metrics").hidden = !(operator = Boolean(server.operator));
  if (!server.publish) return;
  const { url, open } = server.publish;
  const key = open ? "alice" : "STREAM-KEY";
  $("obs-server").textContent = url;
  $("obs-key").textContent = open ? key : "the key you were given";
  $("obs-key").classList.toggle("blank", !open);
  document.querySelector("[data-copy=obs-key]").hidden = !open;
  $("obs-hint").textContent = open ? "The key is the stream’s name, and yours to choose. A keyframe interval of 2 s makes it start fast."
    : "The key is a secret between you and this server. A keyframe interval of 2 s makes it start fast.";
  showCommand($("ffmpeg-test"), ["ffmpeg", "-re", "-f lavfi", "-i testsrc2=s=1280x720:r=30", "-f lavfi", "-i sine", "-c:v libx264", "-preset veryfast",
    "-b:v 2500k", "-pix_fmt yuv420p", "-g 60", "-c:a aac", "-f flv", `${url}/${key}`]);
  showCommand($("ffmpeg-file"), ["ffmpeg", "-re", "-i video.mp4", "-c copy", "-f flv", `${url}/${key}`]);
  $("publish").hidden = false;
}

// ---- doing

function pick(name) {
  if (name === chosen) return;
  chosen = name;
  show();
}

async function copy(button, value) {
  try {
    await navigator.clipboard.writeText(value);
  } catch { // not on a page over plain HTTP from another host
    const area = element("textarea", { class: "unseen", readonly: "" });
    area.value = value;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const use = button.querySelector("use");
  use.setAttribute("href", "#icon-done");
  button.classList.add("done");
  $("said").textContent = "Copied";
  setTimeout(() => {
    use.setAttribute("href", "#icon-copy");
    button.classList.remove("done");
    $("said").textContent = "";
  }, 1600);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button, $(button.dataset.copy).textContent);
  const link = event.target.closest("a[data-stream]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  pick(link.dataset.stream);
});
$("copy-page").addEventListener("click", (event) => copy(event.currentTarget, absolute(pageLink(chosen))));
$("copy-playlist").addEventListener("click", (event) => {
  const s = streams.find((s) => s.name === chosen);
  copy(event.currentTarget, absolute(entryOf(s ?? { name: chosen })));
});
$("unmute").addEventListener("click", () => { $("video").muted = false; });
$("video").addEventListener("volumechange", showNotice);
window.addEventListener("popstate", () => pick(new URLSearchParams(location.search).get("stream") ?? streams[0]?.name ?? null));
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

$("operator").open = matchMedia("(min-width: 62rem)").matches;
showPublish().catch(() => setTimeout(() => showPublish().catch(() => {}), every));
lookAlways();
