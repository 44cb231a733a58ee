// The charts of the report. Each <div class="chart"> says in its data-* attributes what it shows;
// the numbers are the JSON of #data (report/charts.py), the drawing is Plotly's.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "ink", "#999999"];
const DASHES = ["solid", "dash", "dot"];
const MOST_LINES = COLOURS.length * DASHES.length;
const MOST_TEXTS = 120;
const TOUCH = matchMedia("(pointer: coarse)").matches;
// On a touch screen there is no hovering: the bar of buttons would always lie on the chart.
// Of Plotly's own buttons one uploads the numbers to its makers.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
const OPTIONS = { responsive: true, displaylogo: false, displayModeBar: TOUCH ? false : "hover", modeBarButtons: BUTTONS, plotlyServerURL: "" };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (index) => (COLOURS[index % 8] === "ink" ? css("--text") : COLOURS[index % 8]);
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const sum = (values) => values.reduce((a, b) => a + b, 0);
// Ticks at 1, 2 and 5; over more than two decades at powers of ten alone, within one at every digit,
// and where that might be none, too, where Plotly chooses.
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

// Three significant digits, as everywhere on the page.
function number(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x < 0) return "−" + number(-x);
  if (x >= 999.5 && x < 1e6) return Math.round(x).toLocaleString("en");
  if (Number.isInteger(x) && x < 1e6) return String(x);
  if (x >= 1e-3 && x < 1e3) return x.toPrecision(3);
  const short = Number(x.toPrecision(3));
  return x >= 1e-4 && x < 1e-3 ? String(short) : short.toExponential().replace("+", "");
}

function mixed(share) {
  const [from, to] = [[0, 114, 178], [230, 159, 0]];
  return `rgb(${from.map((c, i) => Math.round(c + share * (to[i] - c))).join(",")})`;
}

let choices = 0;

// A labelled <select>; `options` are [value, text], `changed` gets the chosen value.
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

// A narrow chart has its legend below, where it takes as many lines as its names need.
const isNarrow = (root) => root.clientWidth < 560;
const folded = (root, name) => (isNarrow(root) ? escaped(name).replace(/(.{30,}?[, ])/g, "$1<br>") : escaped(name));

function layout(root, x, y, traces, more = {}) {
  const named = traces.filter((trace) => trace.name && trace.showlegend !== false);
  const below = isNarrow(root) && named.length > 1 ? 10 + 19 * sum(named.map(({ name }) => name.split("<br>").length)) : 0;
  const height = isNarrow(root) ? 320 : 400;
  const title = (one) => ({ ...one, title: { standoff: 12, ...one.title } });
  const axis = { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--text") },
    margin: { l: 8, r: 8, t: 30, b: 60 + below },
    height: height + below,
    showlegend: named.length > 1,
    // On a touch screen a finger scrolls the page.
    dragmode: TOUCH ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent") },
    legend: { tracegroupgap: 0, ...(isNarrow(root) ? { orientation: "v", x: 0, y: -60 / (height - 90), yanchor: "top", maxheight: below + 30 } : { y: 1 }) },
    hoverlabel: { align: "left" },
    xaxis: { ...axis, ...title(x) },
    yaxis: { ...axis, ...title(y) },
    ...more,
  };
}

// ── charts of ready lines ───────────────────────────────────────────────────────────────────────

const BANDS = "Bands go from the least to the greatest of the seeds.";

function readyLines(root, chart) {
  const { controls, plot, caption } = parts(root);
  let chosen = 0;
  const draw = () => {
    const choice = chart.choices[chosen];
    const scale = (axis) => ({ title: { text: escaped(choice[axis].title).replace(", ", "<br>") }, ...(choice[axis].log && logarithmic(choice.lines.flatMap((line) => line[axis]))) });
    const traces = choice.lines.flatMap((line, index) => lineTraces(root, line, index));
    Plotly.react(plot, traces, layout(root, scale("x"), scale("y"), traces), OPTIONS);
    const banded = choice.lines.some((line) => line.low);
    const of = choice.lines.find((line) => line.of)?.of;
    caption.textContent = [
      banded ? choice.caption : choice.caption.replace(BANDS, "").trim(),
      banded && !choice.caption.includes(BANDS) ? BANDS : "",
      of ? `${new Set(choice.lines.map((line) => line.colour)).size} of ${of} configurations are shown, evenly spread.` : "",
    ].filter(Boolean).join(" ");
  };
  if (chart.choices.length > 1)
    choose(controls, "Show", chart.choices.map((c, i) => [i, c.name]), 0, (value) => ((chosen = Number(value)), draw()));
  return draw;
}

function lineTraces(root, line, index) {
  const ink = line.shade === undefined ? colour(line.colour ?? 7) : mixed(line.shade);
  const common = { x: line.x, mode: "lines", legendgroup: index, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
  const band = line.low
    ? [{ ...common, y: line.low }, { ...common, y: line.high, fill: "tonexty", fillcolor: faint(ink) }]
    : [];
  const shown = {
    x: line.x,
    y: line.y,
    name: folded(root, line.name),
    legendgroup: index,
    mode: line.x.length === 1 ? "markers" : line.x.length <= 60 ? "lines+markers" : "lines",
    marker: { size: 5 },
    line: { color: ink, dash: line.dash ?? "solid", width: 2 },
    hovertemplate: "%{x:.3~g}: %{y:.3~g}<extra>%{fullData.name}</extra>",
  };
  return [...band, line.fill ? { ...shown, fill: "tozeroy", fillcolor: faint(ink), mode: "lines" } : shown];
}

function faint(ink) {
  const [r, g, b] = ink.startsWith("#") ? [1, 3, 5].map((i) => parseInt(ink.slice(i, i + 2), 16)) : ink.match(/\d+/g);
  return `rgba(${r},${g},${b},0.18)`;
}

// ── all charts of the page ──────────────────────────────────────────────────────────────────────

function parts(root) {
  const [controls, plot, caption] = ["controls", "plot", "caption"].map((name) => element(name === "caption" ? "p" : "div", "", { class: name }));
  caption.setAttribute("aria-live", "polite");
  root.append(controls, plot, caption);
  return { controls, plot, caption };
}

const redraw = [...document.querySelectorAll(".chart")].map((root) => {
  if (root.dataset.view) return explore(root);
  const draw = readyLines(root, data.charts[root.dataset.section][Number(root.dataset.index)]);
  draw();
  return draw;
});
document.documentElement.classList.add("drawn");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((draw) => draw()));
