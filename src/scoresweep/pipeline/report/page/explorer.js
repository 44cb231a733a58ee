// The explorer: a heat map or lines of any metric over any two axes. charts.js calls `explore`.
// Python has computed a cell for every point (page/explorer.py); this file selects and arranges them.
"use strict";

// Returns a cell for each value of the shown axes: the only point that matches, or the best one.
function select(state) {
  const { axes, points, measures } = data.explorer;
  const measure = measures[state.measure];
  const judge = measures[measure.judge];
  const shown = [state.y, state.x].filter((i) => i !== null);
  const matches = (at) => at.every((index, i) => (shown.includes(i) ? index >= 0 : state.others[i] === "best" || index === state.others[i]));
  const isBetter = (a, b) => (judge.lower ? judge.mean[a] < judge.mean[b] : judge.mean[a] > judge.mean[b]);
  const best = new Map();
  points.forEach((at, point) => {
    if (measure.mean[point] === null || !matches(at)) return;
    const key = shown.map((i) => at[i]).join();
    if (!best.has(key) || isBetter(point, best.get(key))) best.set(key, point);
  });
  const picked = axes.map((_, i) => i).filter((i) => !shown.includes(i) && state.others[i] === "best");
  return [...best.values()].map((point) => {
    const values = Object.fromEntries(["mean", "low", "high", "text", "interval", "few"].map((key) => [key, measure[key][point]]));
    const at = points[point];
    const where = [...shown, ...picked].map((i) => `${axes[i].name} ${axes[i].values[at[i]]}`);
    return { ...values, x: at[state.x], y: state.y === null ? null : at[state.y], where };
  });
}

// The chosen metric, with the value of real samples at the chosen dataset, count and evaluation.
function chosenMeasure(state) {
  const { axes, measures } = data.explorer;
  const measure = measures[state.measure];
  const apart = axes.map((_, i) => i).filter((i) => axes[i].apart);
  const isShown = apart.some((i) => i === state.x || i === state.y);
  const key = isShown ? "" : apart.map((i) => state.others[i]).join();
  return { ...measure, ...(measure.references[key] ?? measure.references[""]) };
}

function hover(cell, measure) {
  const value = `<b>${cell.text}</b>` + (cell.interval && ` (${cell.interval})`);
  return [value, ...cell.where.map(escaped), cell.few, measure.real === null ? "" : measure.realText].filter(Boolean).join("<br>");
}

const wrapped = (text) => text.replace("(", "\n(").split("\n").map((part) => folded(part, 14, 24)).join("<br>");
const [LETTER, LINE] = [6.5, 15]; // pixels

// Labels of the values of an axis, as many as there is room for: `wide` and `high` in pixels.
function labels(axis) {
  const texts = axis.values.map(wrapped);
  const lines = texts.map((text) => text.split("<br>"));
  const size = { wide: LETTER * Math.max(...lines.flat().map((line) => line.length)), high: LINE * Math.max(...lines.map((all) => all.length)) };
  const fit = (room) => {
    const every = Math.ceil(texts.length / Math.max(2, Math.floor(room)));
    return texts.map((text, i) => [i, text]).filter(([i]) => i % every === 0);
  };
  return { ...size, fit };
}

// Labels below a chart of this width: upright if they are words and would cover each other.
function labelsBelow(axis, width) {
  const { wide, high, fit } = labels(axis);
  const upright = !axis.numbers && (wide + 10) * axis.values.length > width;
  return { upright, ticks: fit(width / (upright ? high + 4 : wide + 10)), taller: upright ? wide : Math.max(0, high - 2 * LINE) };
}

const isLog = (measure, cells, state) => (state.scale === "auto" ? measure.log : state.scale === "log") && cells.every((cell) => cell.mean > 0);

const bestOf = (cells, { lower }) => cells.reduce((a, b) => ((lower ? b.mean < a.mean : b.mean > a.mean) ? b : a));

function mapFigure(root, state, cells) {
  const { axes } = data.explorer;
  const [across, down, measure] = [axes[state.x], axes[state.y], chosenMeasure(state)];
  const log = isLog(measure, cells, state);
  const scaled = (cell) => (log ? Math.log10(cell.mean) : cell.mean);
  const ends = [bestOf(cells, { lower: true }), bestOf(cells, { lower: false })];
  const [least, most] = ends.map(scaled);
  const empty = () => down.values.map(() => across.values.map(() => null));
  const [z, hovers, annotations] = [empty(), empty(), []];
  const beside = labels(down);
  const below = labelsBelow(across, root.clientWidth - 110 - beside.wide);
  const width = (root.clientWidth - 110 - beside.wide) / across.values.length;
  const annotated = across.values.length * down.values.length <= MAX_ANNOTATED && width > 34;
  for (const cell of cells) {
    z[cell.y][cell.x] = scaled(cell);
    hovers[cell.y][cell.x] = hover(cell, measure);
    const notes = width > 105 ? [cell.interval, cell.few].filter(Boolean) : [];
    const text = [cell.text, ...notes.map((note) => `<span style="font-size:11px">${note}</span>`)].join("<br>");
    // Dark text on bright cells, bright text on dark ones.
    const share = (scaled(cell) - least) / (most - least || 1);
    const font = { size: 13, color: (measure.lower ? 1 - share : share) > 0.5 ? "#111111" : "#ffffff" };
    if (annotated) annotations.push({ x: cell.x, y: cell.y, text, font, showarrow: false });
  }
  const shownEnds = least < most ? ends : ends.slice(0, 1);
  const trace = {
    type: "heatmap", z, customdata: hovers, xgap: across.values.length > 40 ? 0 : 1, ygap: down.values.length > 40 ? 0 : 1,
    colorscale: "Cividis", reversescale: measure.lower,
    hovertemplate: "%{customdata}<extra></extra>",
    colorbar: { thickness: 12, outlinewidth: 0, tickvals: shownEnds.map(scaled), ticktext: shownEnds.map((cell) => cell.text) },
  };
  const best = bestOf(cells, measure);
  const outline = { type: "rect", x0: best.x - 0.5, x1: best.x + 0.5, y0: best.y - 0.5, y1: best.y + 0.5, line: { color: OUTLINE, width: 4 } };
  const rows = Math.max(130, Math.min(700, Math.max(56, beside.high + 8) * down.values.length));
  const axis = (one, ticks, tickangle) => ({ title: { text: escaped(one.name) }, tickmode: "array", tickvals: ticks.map(([i]) => i), ticktext: ticks.map(([, text]) => text), showgrid: false, tickangle });
  const more = { height: 130 + rows + below.taller, margin: { l: 8, r: 8, t: 30, b: 8 }, annotations, shapes: measure.ranks && least < most ? [outline] : [] };
  const [x, y] = [axis(across, below.ticks, below.upright ? -90 : 0), { ...axis(down, beside.fit(rows / (beside.high + 4)), 0), autorange: "reversed" }];
  return { data: [trace], layout: layout(root, x, y, [trace], more), note: log ? "Colours are on a logarithmic scale." : "" };
}

function settingsFigure(root, state, cells) {
  const { axes } = data.explorer;
  const [across, measure] = [axes[state.x], chosenMeasure(state)];
  const groups = [...new Set(cells.map((cell) => cell.y))].sort((a, b) => a - b);
  const shown = spread(groups, MAX_LINES);
  const numbers = across.numbers;
  const end = (side) => (cell) => (cell.interval ? cell[side] : cell.mean);
  const lines = shown.map((group, index) => {
    const line = cells.filter((cell) => cell.y === group).sort((a, b) => a.x - b.x);
    return {
      name: group === null ? measure.title : `${axes[state.y].name} ${axes[state.y].values[group]}`,
      // Over strings, side by side, so that intervals do not hide each other.
      x: line.map((cell) => (numbers ? numbers[cell.x] : cell.x + (0.4 * (index + 0.5)) / shown.length - 0.2)),
      y: line.map((cell) => cell.mean),
      low: line.map(end("low")),
      high: line.map(end("high")),
      labels: line.map((cell) => hover(cell, measure)),
      mode: numbers ? "lines+markers" : "markers",
      colour: COLOURS[index % COLOURS.length],
      dash: DASHES[Math.floor(index / COLOURS.length)],
    };
  });
  const log = isLog(measure, cells, state);
  const xRange = numbers ? [Math.min(...numbers), Math.max(...numbers)] : [-0.5, across.values.length - 0.5];
  if (measure.real !== null && (!log || measure.real > 0))
    lines.push({ name: "real test samples", x: xRange, y: [measure.real, measure.real], labels: [measure.realText, measure.realText], mode: "lines", colour: "#999999", dash: "dot" });
  const room = (root.clientWidth - 100) / 55;
  const beside = isNarrow(root) ? 0 : LETTER * Math.max(0, ...lines.flatMap((line) => folded(line.name, 30, 44).split("<br>")).map((text) => text.length));
  const { taller, ...ticks } = numbers
    ? { taller: 0, ticks: numbers.length <= room && numbers.map((at, i) => [at, across.values[i]]) }
    : labelsBelow(across, root.clientWidth - 100 - beside);
  const x = { title: across.name, log: numbers && xRange[0] > 0 && xRange[1] > 8 * xRange[0], ...ticks, range: numbers ? null : xRange };
  const note = shown.length < groups.length ? `${shown.length} of ${groups.length} lines are shown, evenly spaced.` : "";
  return { ...linesFigure(root, { x, y: { title: measure.title, log }, lines, errorBars: true, taller }), note };
}

function describe(state, cells, note) {
  const { axes, measures, left_out: leftOut } = data.explorer;
  const measure = chosenMeasure(state);
  const best = bestOf(cells, measure);
  const alike = cells.length > 1 && cells.every((cell) => cell.mean === best.mean);
  const picked = axes.filter((_, i) => i !== state.x && i !== state.y && state.others[i] === "best").map((axis) => axis.name);
  const judge = measure.judge === state.measure ? "" : `, by ${measures[measure.judge].title}`;
  return [
    measure.lead,
    alike ? `All equal: ${best.text}.` : measure.ranks ? `Best: ${best.where.join(", ")} with ${best.text}${best.interval && ` (${best.interval})`}.` : "",
    picked.length ? `Each value is at the best ${picked.join(" and ")}${judge}.` : "",
    measure.details,
    note,
    state.scale === "log" && !isLog(measure, cells, state) ? "A logarithmic scale needs positive values." : "",
    leftOut ? `${leftOut} more metrics are in report.nc.` : "",
  ].filter(Boolean).join(" ");
}

// The title of a saved chart: the metric, and the values of the axes that are not shown.
function titleOf(state) {
  const { axes, measures } = data.explorer;
  const chosen = axes.flatMap((axis, i) => {
    const value = state.others[i];
    if (i === state.x || i === state.y || value === -1) return [];
    return [value === "best" ? `best ${axis.name}` : `${axis.name} ${axis.values[value]}`];
  });
  return [measures[state.measure].title, ...chosen].join(", ");
}

// What differs from `initial` stands in the address as names and values, such as map-across=levels,
// so that a link or a bookmark shows the same chart, also of a report with more values.
function remember(key, state, initial) {
  const { axes, measures } = data.explorer;
  const query = new URLSearchParams(location.search);
  const put = (name, value, isChanged) => (isChanged ? query.set(`${key}-${name}`, value) : query.delete(`${key}-${name}`));
  put("metric", measures[state.measure].key, state.measure !== initial.measure);
  put("across", axes[state.x].key, state.x !== initial.x);
  put("down", axes[state.y]?.key ?? "", state.y !== initial.y);
  put("scale", state.scale, state.scale !== initial.scale);
  axes.forEach((axis, i) => put(`at-${axis.key}`, axis.keys[state.others[i]] ?? state.others[i], state.others[i] !== initial.others[i]));
  const text = query.toString();
  history.replaceState(null, "", `${location.pathname}${text && `?${text}`}${location.hash}`);
}

// Return the state in the address; what it does not name, or names wrongly, is as in `initial`.
function restored(key, initial, isMap) {
  const { axes, measures } = data.explorer;
  const query = new URLSearchParams(location.search);
  const get = (name) => query.get(`${key}-${name}`);
  const found = (items, name, otherwise) => {
    const index = items.findIndex((item) => item.key === get(name));
    return index < 0 ? otherwise : index;
  };
  const state = {
    measure: found(measures, "metric", initial.measure),
    x: found(axes, "across", initial.x),
    y: !isMap && get("down") === "" ? null : found(axes, "down", initial.y),
    scale: ["linear", "log"].includes(get("scale")) ? get("scale") : initial.scale,
    others: axes.map((axis, i) => {
      const index = axis.keys.indexOf(get(`at-${axis.key}`));
      return index < 0 ? initial.others[i] : index;
    }),
  };
  return state.x === state.y ? { ...state, x: initial.x, y: initial.y } : state;
}

function explore(root) {
  const { axes, measures } = data.explorer;
  const isMap = root.dataset.view === "map";
  // The largest count first: with successive halving, it has the best settings.
  const first = (axis) => (axis.key === "count" ? axis.values.length - 1 : 0);
  const others = axes.map((axis) => (axis.apart ? first(axis) : axis.repeat ? -1 : "best"));
  const initial = { scale: "auto", measure: Number(root.dataset.measure), x: data.explorer.x, y: data.explorer.y, others };
  const state = restored(root.dataset.key, initial, isMap);
  const { controls, caption, draw } = parts(root, () => {
    const cells = select(state);
    if (!cells.length) {
      caption.textContent = "No setting of this selection has been measured.";
      return null;
    }
    const figure = (isMap ? mapFigure : settingsFigure)(root, state, cells);
    caption.textContent = describe(state, cells, figure.note);
    return { ...figure, title: titleOf(state) };
  });
  const changed = () => {
    draw();
    remember(root.dataset.key, state, initial);
  };
  const build = () => {
    const names = axes.map((axis, i) => [i, axis.name]);
    const set = (key) => (value) => {
      const before = { ...state };
      state[key] = value === "" ? null : Number(value);
      // If both directions would show the same axis, swap them.
      if (state.x === state.y) state[key === "x" ? "y" : "x"] = before[key] ?? axes.findIndex((_, i) => i !== state[key]);
      build();
      changed();
    };
    const focused = [...controls.querySelectorAll("select")].indexOf(document.activeElement);
    controls.replaceChildren();
    choose(controls, "Metric", measures.map((m, i) => [i, m.title]), state.measure, set("measure"));
    choose(controls, isMap ? "Across" : "Along", names, state.x, set("x"));
    if (axes.length > 1) choose(controls, isMap ? "Down" : "A line for each", isMap ? names : [["", "–"], ...names], state.y ?? "", set("y"));
    axes.forEach((axis, i) => {
      if (i === state.x || i === state.y) return;
      const values = axis.values.map((value, index) => [index, value]);
      const kinds = axis.apart ? [] : axis.repeat ? [[-1, "mean and interval"]] : [["best", "best of each"]];
      choose(controls, axis.name, [...kinds, ...values], state.others[i], (value) => {
        state.others[i] = value === "best" ? value : Number(value);
        changed();
      });
    });
    choose(controls, isMap ? "Colours" : "Scale", [["auto", "by the range"], ["linear", "linear"], ["log", "logarithmic"]], state.scale, (value) => ((state.scale = value), changed()));
    if (focused >= 0) controls.querySelectorAll("select")[focused]?.focus();
  };
  build();
  draw();
  return draw;
}
