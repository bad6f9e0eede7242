// Plots of what came from an encoder, second by second: pictures of numbers, and
// the same in words for who does not see them.

const [width, height] = [240, 48];

function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

/** points of a line through values, the newest at the right edge. */
export function points(values, most, slots = 119) {
  return values.map((v, i) => {
    const x = width - (values.length - 1 - i) * width / (slots - 1);
    const y = height - 1 - Math.min(v, most) / (most || 1) * (height - 2);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  }).join(" ");
}

/** said is a plot in words. */
export function said(name, unit, values) {
  const number = (v) => v.toLocaleString("en");
  if (!values.length) return `${name}: nothing yet`;
  return `${name}: ${number(values.at(-1))} ${unit} now, ${number(Math.min(...values))} to ${number(Math.max(...values))} in two minutes`;
}

function plot(name, unit, values) {
  const most = Math.max(...values, 1);
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = `${name} ${values.length ? values.at(-1).toLocaleString("en") : "–"} ${unit}`;
  figure.append(caption, svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": said(name, unit, values) },
    svg("polyline", { points: points(values, most), "vector-effect": "non-scaling-stroke" })));
  return figure;
}

/** plots of the figures of /api/v1/streams/…/health. */
export function plots(figures) {
  const sum = figures.video_kbit.map((v, i) => v + (figures.audio_kbit[i] ?? 0));
  return [plot("Bit rate", "kbit/s", sum), plot("Pictures", "a second", figures.pictures), plot("Late by", "ms", figures.late_ms)];
}
