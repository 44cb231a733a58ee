// The explorer: a heat map or lines of any measure over any swept axes. page.js calls it.
"use strict";

// Averages over each axis set to "mean", takes the best value of each one set to "best", and keeps to
// the value of all others but x and y. Repeats are nested: samplings within networks.
function summarise(state) {
  const { axes, measures, networks, samplings } = data.explorer;
  const measure = measures[state.measure];
  const others = axes.map((_, i) => i).filter((i) => i !== state.x && i !== state.y);
  const fixed = others.filter((i) => Number.isInteger(state.others[i]));
  const picked = others.filter((i) => state.others[i] === "best");
  const place = (indices, row) => indices.map((i) => axes[i].at[row]).join();
  const cells = new Map();
  measure.value.forEach((value, row) => {
    if (value === null || fixed.some((i) => axes[i].at[row] !== state.others[i])) return;
    const keys = [place([state.x, state.y].filter((i) => i !== null), row), place(picked, row), networks[row], samplings[row]];
    let level = cells;
    for (const key of keys) {
      if (!level.has(key)) level.set(key, new Map());
      level = level.get(key);
    }
    level.set(row, value);
  });
  // The best by what a cost is of: a sampler that ruins the samples costs a network little.
  const judge = measures[measure.by ?? state.measure];
  const sign = judge.lower ? 1 : -1;
  const rank = (repeats) => average(repeats.map((network) => average(network.map((rows) => average(rows.map((row) => judge.value[row]))))));
  return [...cells].map(([key, combinations]) => {
    const found = [...combinations].map(([combination, inner]) => {
      const repeats = [...inner.values()].map((network) => [...network.values()].map((rows) => [...rows.keys()]));
      return { combination, rank: rank(repeats), ...estimate(measure, repeats, others.some((i) => state.others[i] === "mean" && !axes[i].repeat)) };
    });
    const best = found.reduce((a, b) => (sign * b.rank < sign * a.rank ? b : a));
    const [x, y = null] = key.split(",").map(Number);
    const chosen = picked.map((i, k) => `${axes[i].name} ${axes[i].values[best.combination.split(",")[k]]}`);
    return { ...best, x, y, chosen };
  });
}

const average = (values) => sum(values) / values.length;

// The mean over networks of that over each one's samplings, and its interval, as `summarise` of
// report/summary.py has it; `repeats` are networks, samplings and rows.
function estimate(measure, repeats, averaged) {
  const means = repeats.map((network) => network.map((rows) => average(rows.map((row) => measure.value[row]))));
  const networks = means.length;
  const samplings = sum(means.map((network) => network.length));
  const mean = average(means.map(average));
  const units = networks > 1 ? means.map(average) : means[0];
  const n = units.length;
  const deviation = Math.sqrt(sum(units.map((m) => (m - mean) ** 2)) / (n - 1));
  // Means of values that agree differ in the last digit.
  const told = n > 1 && deviation > 1e-9 * Math.max(...units.map(Math.abs));
  const counts = { mean, networks, samplings, level: told ? (networks > 1 ? "networks" : "samplings") : "samples" };
  if (!told) {
    const rows = repeats.flat(2);
    const own = (side) => {
      if (averaged || !measure[side] || rows.some((row) => measure[side][row] === null)) return null;
      return average(repeats.map((network) => average(network.map((some) => average(some.map((row) => measure[side][row]))))));
    };
    return { ...counts, low: own("low"), high: own("high") };
  }
  const half = (data.explorer.student[n - 2] * deviation) / Math.sqrt(n);
  if (measure.min === 0 && measure.max === null && mean > 0)
    return { ...counts, low: mean * Math.exp(-half / mean), high: half <= mean ? mean * Math.exp(half / mean) : Math.E * half };
  return { ...counts, low: Math.max(mean - half, measure.min ?? -Infinity), high: Math.min(mean + half, measure.max ?? Infinity) };
}

const oneNetwork = () => (data.explorer.exact ? "the exact score" : "one network");

// How many networks and samplings the value of a cell has, as `repeats` of report/summary.py writes it.
function repeatsOf({ networks, samplings }) {
  const first = networks === 1 ? oneNetwork() : `${networks} networks`;
  if (networks > 1 && samplings % networks === 0) return samplings > networks ? `${first} × ${samplings / networks} samplings` : `${first}, one sampling each`;
  return `${first}, ${samplings === 1 ? "one sampling" : `${samplings} samplings`}`;
}

// Of how many repeats the value of a cell is, where others are of more.
const someRepeats = (cell, state) =>
  cell.networks < state.most.networks ? `${cell.networks} of ${state.most.networks} networks` : cell.samplings < state.most.samplings ? `${cell.samplings} of ${state.most.samplings} samplings` : "";

const interval = (cell) => (cell.low !== null && cell.low < cell.high ? `${number(cell.low)} to ${number(cell.high)}` : "");

function hover(cell, state) {
  const { axes, measures } = data.explorer;
  const at = (axis, index) => `${axes[axis].name} ${axes[axis].values[index]}`;
  const lines = [
    `<b>${number(cell.mean)}</b>` + (interval(cell) && ` (${interval(cell)})`),
    [state.y === null ? "" : at(state.y, cell.y), at(state.x, cell.x), ...cell.chosen].filter(Boolean).map(escaped).join("<br>"),
    someRepeats(cell, state) || repeatsOf(cell),
    measures[state.measure].real === null ? "" : `real test samples ${number(measures[state.measure].real)}`,
  ];
  return lines.filter(Boolean).join("<br>");
}

const wrapped = (text) =>
  escaped(text).replace("(", "<br>(").replace(/(.{14,}?[,_ ])/g, "$1<br>");

function ticks(axis, room) {
  const every = Math.ceil(axis.values.length / Math.max(2, room));
  const shown = axis.values.map((_, i) => i).filter((i) => i % every === 0);
  const text = shown.map((i) => wrapped(axis.values[i]));
  return { title: { text: escaped(axis.name) }, tickmode: "array", tickvals: shown, ticktext: text, showgrid: false, tickangle: 0 };
}

// Whether values have a logarithmic scale: by default those that can only be positive and span much.
function isLog(measure, values, state) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (state.scale === "auto") return measure.min === 0 && measure.max === null && least > 0 && most > 8 * least;
  return state.scale === "log" && least > 0;
}

const scaleNote = (state, log) => (state.scale === "log" && !log ? " Values of 0 or below have no place on a logarithmic scale." : "");

function drawMap(root, plot, state, cells) {
  const { axes, measures } = data.explorer;
  const [across, down, measure] = [axes[state.x], axes[state.y], measures[state.measure]];
  const empty = () => down.values.map(() => across.values.map(() => null));
  const [z, hovers, texts] = [empty(), empty(), []];
  const means = cells.map((cell) => cell.mean);
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const log = isLog(measure, means, state);
  const beside = Math.max(...down.values.flatMap((value) => wrapped(value).split("<br>")).map((line) => line.length));
  const width = (root.clientWidth - 110 - 6.5 * beside) / across.values.length;
  const annotated = across.values.length * down.values.length <= MOST_TEXTS && width > 34;
  const scaled = (value) => (log ? Math.log10(value) : value);
  for (const cell of cells) {
    z[cell.y][cell.x] = scaled(cell.mean);
    const notes = width > 105 ? [interval(cell), someRepeats(cell, state)].filter(Boolean) : [];
    const text = [number(cell.mean), ...notes.map((note) => `<span style="font-size:11px">${note}</span>`)].join("<br>");
    // Dark on bright and bright on dark.
    const share = (scaled(cell.mean) - scaled(least)) / (scaled(most) - scaled(least) || 1);
    const font = { size: 13, color: (measure.lower ? 1 - share : share) > 0.5 ? "#111111" : "#ffffff" };
    if (annotated) texts.push({ x: cell.x, y: cell.y, text, font, showarrow: false });
    hovers[cell.y][cell.x] = hover(cell, state);
  }
  const ends = least < most ? [least, most] : [least];
  const trace = {
    type: "heatmap", z, customdata: hovers, xgap: across.values.length > 40 ? 0 : 1, ygap: down.values.length > 40 ? 0 : 1,
    colorscale: "Cividis", reversescale: measure.lower,
    hovertemplate: "%{customdata}<extra></extra>",
    colorbar: { thickness: 12, outlinewidth: 0, tickvals: ends.map(scaled), ticktext: ends.map(number) },
  };
  const best = bestOf(cells, measure);
  const outline = { type: "rect", x0: best.x - 0.5, x1: best.x + 0.5, y0: best.y - 0.5, y1: best.y + 0.5, line: { color: "#D55E00", width: 4 } };
  const height = Math.max(260, Math.min(700, 130 + 56 * down.values.length));
  Plotly.react(plot, [trace], layout(root, ticks(across, (root.clientWidth - 150) / 44), { ...ticks(down, 30), autorange: "reversed" },
    [trace], { height, margin: { l: 8, r: 8, t: 30, b: 8 }, annotations: texts, shapes: measure.ranks && least < most ? [outline] : [] }), OPTIONS);
  return scaleNote(state, log) || (log ? " Colours are on a logarithmic scale." : "");
}

function drawLines(root, plot, state, cells) {
  const { axes, measures } = data.explorer;
  const [across, measure] = [axes[state.x], measures[state.measure]];
  const groups = [...new Set(cells.map((cell) => cell.y))].sort((a, b) => a - b);
  const shown = spread(groups, MOST_LINES);
  const numbers = across.numbers;
  const logX = numbers && Math.min(...numbers) > 0 && Math.max(...numbers) >= 8 * Math.min(...numbers);
  const means = cells.map((cell) => cell.mean);
  const ends = cells.flatMap((cell) => (interval(cell) ? [cell.mean, cell.low, cell.high] : [cell.mean]));
  const logY = isLog(measure, state.scale === "log" ? means : ends, state);
  const traces = shown.map((group, index) => {
    const line = cells.filter((cell) => cell.y === group).sort((a, b) => a.x - b.x);
    const end = (side) => line.map((cell) => (interval(cell) ? Math.abs(cell[side] - cell.mean) : 0));
    return {
      name: group === null ? folded(root, measure.title) : folded(root, `${axes[state.y].name} ${axes[state.y].values[group]}`),
      // Side by side over a word, where intervals would hide each other.
      x: line.map((cell) => (numbers ? numbers[cell.x] : cell.x + (0.4 * (index + 0.5)) / shown.length - 0.2)),
      y: line.map((cell) => cell.mean),
      customdata: line.map((cell) => hover(cell, state)),
      error_y: { type: "data", symmetric: false, array: end("high"), arrayminus: end("low"), thickness: 1.5, width: 4 },
      mode: numbers ? "lines+markers" : "markers",
      marker: { size: 8 },
      line: { color: colour(index), dash: DASHES[Math.floor(index / 8)], width: 2 },
      hovertemplate: "%{customdata}<extra></extra>",
    };
  });
  if (measure.real !== null && (!logY || measure.real > 0)) {
    const [left, right] = numbers ? [Math.min(...numbers), Math.max(...numbers)] : [-0.5, across.values.length - 0.5];
    traces.push({ name: "real test samples", x: [left, right], y: [measure.real, measure.real], mode: "lines", line: { color: css("--soft"), dash: "dot", width: 1.5 }, hoverinfo: "name+y" });
  }
  const room = (root.clientWidth - 100) / 55;
  const x = numbers
    ? { title: { text: escaped(across.name) }, ...(logX && logarithmic(numbers)), ...(numbers.length <= room && { tickvals: numbers, ticktext: across.values }) }
    : { ...ticks(across, room), range: [-0.5, across.values.length - 0.5] };
  const y = { title: { text: wrapped(measure.title) }, ...(logY && logarithmic(ends)) };
  Plotly.react(plot, traces, layout(root, x, y, traces), OPTIONS);
  const some = shown.length < groups.length ? ` ${shown.length} of ${groups.length} lines are shown, evenly spread.` : "";
  return scaleNote(state, logY) + some;
}

const bestOf = (cells, { lower }) => cells.reduce((a, b) => ((lower ? b.mean < a.mean : b.mean > a.mean) ? b : a));

function describeChart(state, cells) {
  const { axes, measures } = data.explorer;
  const measure = measures[state.measure];
  const best = bestOf(cells, measure);
  const at = (axis, index) => `${axes[axis].name} ${axes[axis].values[index]}`;
  const where = [state.y === null ? "" : at(state.y, best.y), at(state.x, best.x), ...best.chosen].filter(Boolean).join(", ");
  const alike = cells.length > 1 && cells.every((cell) => cell.mean === best.mean);
  const set = (kind) => axes.filter((axis, i) => i !== state.x && i !== state.y && kind(state.others[i], axis)).map((axis) => axis.name);
  const averaged = set((value, axis) => value === "mean" && !axis.repeat);
  const { most } = state;
  const shown = cells.filter((cell) => interval(cell));
  const chosen = set((value) => value === "best");
  return [
    measure.by !== null ? measure.note : `${measure.lower ? "Lower" : "Higher"} is better${measure.ranks ? "" : ", but " + measure.note}.`,
    alike ? `All alike: ${number(best.mean)}.` : "",
    measure.ranks && !alike ? `Best here: ${where} with ${number(best.mean)}${interval(best) && ` (${interval(best)})`}.` : "",
    measure.count ? `Samples: ${measure.count}.` : "",
    chosen.length ? `The best value of ${chosen.join(" and ")} in each case${measure.by === null ? "" : `, by the ${measures[measure.by].title}`}.` : "",
    most.samplings > 1 ? `Mean of ${most.networks > 1 ? repeatsOf(most) : `${most.samplings} samplings of ${oneNetwork()}`}.` : "",
    shown.some((cell) => cell.level === "networks") ? "Student's 95\u00a0% interval over networks." : "",
    shown.some((cell) => cell.level === "samplings") ? `Student's 95\u00a0% interval over samplings${data.explorer.exact ? "" : ", which holds for that network only"}.` : "",
    shown.some((cell) => cell.level === "samples") ? `The 95\u00a0% interval of one sampling is from resampling its samples${data.explorer.exact ? "" : " and holds for its network only"}.` : "",
    shown.length && (chosen.length || measure.ranks) ? "The intervals in this chart are not corrected for choosing the best." : "",
    averaged.length ? `Averaged over ${averaged.join(", ")}.` : "",
    measure.ranks && measure.note ? measure.note : "",
  ].filter(Boolean).join(" ");
}

function explore(root) {
  const { axes, measures, left_out: leftOut } = data.explorer;
  const { controls, plot, caption } = parts(root);
  const isMap = root.dataset.view === "map";
  const state = { scale: "auto", measure: Number(root.dataset.measure), x: data.explorer.x, y: data.explorer.y, others: axes.map((axis) => (axis.apart ? 0 : axis.repeat ? "mean" : "best")) };
  const draw = () => {
    const cells = summarise(state);
    state.most = { networks: Math.max(...cells.map((cell) => cell.networks)), samplings: Math.max(...cells.map((cell) => cell.samplings)) };
    if (!cells.length) {
      Plotly.purge(plot);
      caption.textContent = "No setting of this choice has been measured.";
      return;
    }
    const note = (isMap ? drawMap : drawLines)(root, plot, state, cells);
    caption.textContent = describeChart(state, cells) + note + (leftOut ? ` ${leftOut} more measures are in report.nc.` : "");
  };
  const build = () => {
    const names = axes.map((axis, i) => [i, axis.name]);
    const set = (key) => (value) => {
      const before = { ...state };
      state[key] = value === "" ? null : Number(value);
      // An axis cannot go both ways: the two change places.
      if (state.x === state.y) state[key === "x" ? "y" : "x"] = before[key] ?? axes.findIndex((_, i) => i !== state[key]);
      build();
    };
    const focused = [...controls.querySelectorAll("select")].indexOf(document.activeElement);
    controls.replaceChildren();
    choose(controls, "Measure", measures.map((m, i) => [i, m.title]), state.measure, set("measure"));
    choose(controls, isMap ? "Across" : "Along", names, state.x, set("x"));
    if (axes.length > 1) choose(controls, isMap ? "Down" : "A line for each", isMap ? names : [["", "–"], ...names], state.y ?? "", set("y"));
    axes.forEach((axis, i) => {
      if (i === state.x || i === state.y) return;
      const values = axis.values.map((value, index) => [index, value]);
      const kinds = axis.apart ? [] : [["mean", axis.repeat ? "mean and interval" : "mean of all"], ...(axis.repeat ? [] : [["best", "best of each"]])];
      choose(controls, axis.name, [...kinds, ...values], state.others[i], (value) => {
        state.others[i] = Number.isNaN(Number(value)) ? value : Number(value);
        draw();
      });
    });
    choose(controls, isMap ? "Colours" : "Scale", [["auto", "by the range"], ["linear", "linear"], ["log", "logarithmic"]], state.scale, (value) => ((state.scale = value), draw()));
    if (focused >= 0) controls.querySelectorAll("select")[focused]?.focus();
    draw();
  };
  build();
  return draw;
}
