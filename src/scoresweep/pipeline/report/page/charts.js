// Draws the charts of the report with Plotly. The attributes data-* of each <div class="chart"> name
// its content in the JSON of #data, which Python has computed, rounded and formatted.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const { colours: COLOURS, dashes: DASHES, outline: OUTLINE, max_annotated: MAX_ANNOTATED, max_marked_points: MAX_MARKED_POINTS } = data.constants;
const MAX_LINES = COLOURS.length * DASHES.length;
const TOUCH = matchMedia("(pointer: coarse)").matches;
// A touch screen has no hovering, so the buttons would always cover the chart.
// Plotly's default buttons include one that uploads the numbers to its makers.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
const OPTIONS = { responsive: true, displaylogo: false, displayModeBar: TOUCH ? false : "hover", modeBarButtons: BUTTONS, plotlyServerURL: "", typesetMath: false };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ink = (colour) => (colour === "#000000" ? css("--text") : colour);
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const sum = (values) => values.reduce((a, b) => a + b, 0);
// Ticks at powers of ten over more than two decades, at 1, 2 and 5 over one or two, at every digit
// below; Plotly chooses them if the range is narrower still.
const logarithmic = (values) => {
  const positive = values.filter((value) => value > 0);
  const decades = Math.log10(Math.max(...positive) / Math.min(...positive));
  const dtick = decades > 2 ? Math.ceil(decades / 6) : decades > 0.8 ? "D2" : "D1";
  return { type: "log", ...(decades > 0.3 && { dtick }), tickformat: "~g" };
};
const spread = (items, most) =>
  items.length <= most
    ? items
    : Array.from({ length: most }, (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))]);

function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = content;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

let choices = 0;

// Add a labelled <select>; `options` are [value, text], `changed` receives the chosen value.
function choose(controls, label, options, chosen, changed) {
  const select = element("select");
  for (const [value, text] of options) select.append(element("option", text, { value }));
  select.value = chosen;
  select.addEventListener("change", () => changed(select.value));
  select.id = `choice-${(choices += 1)}`;
  const wrapper = element("div");
  wrapper.append(element("label", label, { for: select.id }), select);
  controls.append(wrapper);
}

const isNarrow = (root) => root.clientWidth < 560;

// Break a text into lines: at a comma or the like after `soft` letters, anywhere after `hard`.
function folded(text, soft, hard) {
  const lines = text.replace(new RegExp(`(.{${soft},}?[-,_/ ])`, "g"), "$1\n").split("\n");
  const short = lines.map((line) => line.replace(new RegExp(`(.{${hard}})(?=.)`, "g"), "$1\n"));
  return escaped(short.join("\n")).trim().replace(/\n/g, "<br>");
}

// A narrow chart has its legend below, with as many lines as its names need. `taller` is what labels
// below the axis need in addition.
function layout(root, x, y, traces, more = {}, taller = 0) {
  const named = traces.filter((trace) => trace.name && trace.showlegend !== false);
  const below = isNarrow(root) && named.length > 1 ? 10 + 19 * sum(named.map(({ name }) => name.split("<br>").length)) : 0;
  const height = isNarrow(root) ? 320 : 400;
  const title = (one) => ({ ...one, title: { standoff: 12, ...one.title } });
  const axis = { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--text") },
    margin: { l: 8, r: 8, t: 30, b: 60 + taller + below },
    height: height + taller + below,
    showlegend: named.length > 1,
    // On a touch screen a finger scrolls the page.
    dragmode: TOUCH ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent") },
    legend: { tracegroupgap: 0, ...(isNarrow(root) ? { orientation: "v", x: 0, y: -(60 + taller) / (height - 90), yanchor: "top", maxheight: below + 30 } : { y: 1 }) },
    hoverlabel: { align: "left" },
    xaxis: { ...axis, ...title(x) },
    yaxis: { ...axis, ...title(y) },
    ...more,
  };
}

// ── line charts ─────────────────────────────────────────────────────────────────────────────────

function lineChart(root) {
  const { controls, caption, draw } = parts(root, () => {
    const chart = charts[chosen];
    const log = scale === "auto" ? chart.y.log : scale === "log" && isPositive(chart);
    const note = scale === "log" && !log ? " A logarithmic scale needs positive values." : "";
    caption.textContent = chart.caption + note;
    return { ...linesFigure(root, { ...chart, y: { ...chart.y, log } }), title: chart.title };
  });
  const charts = data.panels[Number(root.dataset.panel)];
  let [chosen, scale] = [0, "auto"];
  if (charts.length > 1)
    choose(controls, "Show", charts.map((c, i) => [i, c.title]), 0, (value) => ((chosen = Number(value)), draw()));
  const scales = [["auto", "automatic"], ["linear", "linear"], ["log", "logarithmic"]];
  choose(controls, "Scale", scales, scale, (value) => ((scale = value), draw()));
  draw();
  return draw;
}

const isPositive = ({ lines }) => lines.every((line) => [...line.y, ...(line.low ?? [])].every((value) => value > 0));

function linesFigure(root, { x, y, lines, errorBars, taller }) {
  const traces = lines.flatMap((line, index) => lineTraces(root, line, index, errorBars));
  const scale = (axis, values) => ({
    title: { text: axis.title.replace(", ", "\n").split("\n").map((part) => folded(part, 24, 40)).join("<br>") },
    ...(axis.log && logarithmic(values)),
    ...(axis.ticks && { tickmode: "array", tickvals: axis.ticks.map(([at]) => at), ticktext: axis.ticks.map(([, text]) => text), tickangle: axis.upright ? -90 : 0 }),
    ...(axis.range && { range: axis.range }),
  });
  const [xs, ys] = [lines.flatMap((line) => line.x), lines.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])])];
  return { data: traces, layout: layout(root, scale(x, xs), scale(y, ys), traces, {}, taller) };
}

function lineTraces(root, line, index, errorBars) {
  const stroke = ink(line.colour);
  const common = { x: line.x, mode: "lines", legendgroup: index, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
  const band = line.low && !errorBars ? [{ ...common, y: line.low }, { ...common, y: line.high, fill: "tonexty", fillcolor: faint(stroke) }] : [];
  const distances = (side) => line.y.map((value, i) => Math.abs(line[side][i] - value));
  return [...band, {
    x: line.x,
    y: line.y,
    name: folded(line.name ?? "", 30, 44), // the only line of a chart has no name
    legendgroup: index,
    mode: line.filled ? "lines" : line.mode ?? (line.x.length === 1 ? "markers" : line.x.length <= MAX_MARKED_POINTS ? "lines+markers" : "lines"),
    marker: { size: errorBars ? 8 : 5 },
    line: { color: stroke, dash: line.dash, width: 2 },
    customdata: line.labels,
    hovertemplate: "%{customdata}<extra></extra>",
    ...(errorBars && line.low && { error_y: { type: "data", symmetric: false, array: distances("high"), arrayminus: distances("low"), thickness: 1.5, width: 4 } }),
    ...(line.filled && { fill: "tozeroy", fillcolor: faint(stroke) }),
  }];
}

function faint(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},0.18)`;
}

// ── all charts of the page ──────────────────────────────────────────────────────────────────────

// Add the parts of a chart. `figure` returns what to draw, or null; `draw` draws it.
function parts(root, figure) {
  const [controls, plot, caption] = ["controls", "plot", "caption"].map((name) => element(name === "caption" ? "p" : "div", "", { class: name }));
  caption.setAttribute("aria-live", "polite");
  const save = element("button", "Save as SVG", { type: "button", class: "save" });
  save.addEventListener("click", () => saveSvg(root, plot, figure));
  root.append(controls, plot, caption, save);
  const draw = () => {
    const shown = figure();
    save.disabled = !shown;
    if (shown) Plotly.react(plot, shown.data, shown.layout, OPTIONS);
    else Plotly.purge(plot);
  };
  return { controls, caption, draw };
}

// Save a chart as it is shown, with a title, on white. The file needs no other.
async function saveSvg(root, plot, figure) {
  document.documentElement.classList.add("paper");
  const { data: traces, layout: { margin, height, ...rest }, title } = figure();
  document.documentElement.classList.remove("paper");
  const letters = Math.floor(root.clientWidth / 9);
  const text = folded(title, letters - 15, letters);
  const rise = 10 + 19 * text.split("<br>").length;
  const zoomed = ({ range, autorange }) => ({ range, autorange });
  const shown = {
    ...rest,
    margin: { ...margin, t: margin.t + rise },
    title: { text, font: { size: 15 }, x: 0, xref: "container", y: 1, yanchor: "top", pad: { t: 10, l: 10 } },
    paper_bgcolor: "#ffffff",
    xaxis: { ...rest.xaxis, ...zoomed(plot.layout.xaxis) },
    yaxis: { ...rest.yaxis, ...zoomed(plot.layout.yaxis) },
  };
  const drawn = traces.map((trace, i) => ({ ...trace, visible: plot.data[i].visible ?? true }));
  const url = await Plotly.toImage({ data: drawn, layout: shown, config: OPTIONS }, { format: "svg", width: root.clientWidth, height: height + rise });
  const svg = decodeURIComponent(url.slice(url.indexOf(",") + 1));
  const href = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  element("a", "", { href, download: `${title.replace(/[^\p{L}\p{N}.=-]+/gu, "_").slice(0, 120)}.svg` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60000);
}

const redraw = [...document.querySelectorAll(".chart")].map((root) => (root.dataset.view ? explore(root) : lineChart(root)));
document.documentElement.classList.add("drawn");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((draw) => draw()));
