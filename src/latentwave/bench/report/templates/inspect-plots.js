// The figures. Each function draws one from the data and the state of the controls.

// The colours of magnitudes in the PNG files too.
const MAGMA = [
  [0, "#000004"], [0.1, "#140e36"], [0.2, "#3b0f70"], [0.3, "#641a80"], [0.4, "#8c2981"], [0.5, "#b73779"],
  [0.6, "#de4968"], [0.7, "#f7705c"], [0.8, "#fe9f6d"], [0.9, "#fecf92"], [1, "#fcfdbf"],
];

const MAGNITUDES = {
  relative: {title: "relative to each kernel’s peak [dB]", range: [-30, 0]},
  gain: {title: "gain [dB]", range: [-30, 10]},
  linear: {title: "gain", range: null},
};

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  const found = {series: []};
  for (const name of ["ink", "muted", "rule", "paper", "wash"]) found[name] = get("--" + name);
  for (let i = 0; i < 6; i++) found.series.push(get("--c" + i));
  found.font = get("--sans");
  found.signed = [[0, get("--negative")], [0.5, get("--zero")], [1, get("--positive")]];
  return found;
}

function layout(title, x, y, more = {}) {
  const c = colours();
  const axis = (given) => Object.assign({
    color: c.muted, gridcolor: c.rule, linecolor: c.rule, zeroline: false, automargin: true,
    ticks: "outside", ticklen: 3, tickcolor: c.rule, showgrid: false, fixedrange: true,
  }, given, {title: {text: given.title || "", font: {size: 13, color: c.muted}, standoff: 8}});
  return Object.assign({
    title: {text: plain(title), x: 0, xref: "container", xanchor: "left", y: 1, yref: "container", yanchor: "top",
      pad: {l: 4, t: 6}, font: {size: 14, color: c.ink}},
    font: {family: c.font, size: 12, color: c.ink},
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: {l: 48, r: 12, t: 34, b: 44}, showlegend: false, dragmode: false,
    hoverlabel: {bgcolor: c.paper, bordercolor: c.muted, font: {color: c.ink, family: c.font}},
    xaxis: axis(x), yaxis: axis(y),
  }, more);
}

function draw(id, traces, given, words) {
  const place = document.getElementById(id);
  place.setAttribute("aria-label", words);
  return Plotly.react(place, traces, given, {displayModeBar: false, responsive: true});
}

function colourbar(title) {
  const c = colours();
  return {title: {text: title, side: "right", font: {size: 12, color: c.muted}}, thickness: 10, outlinewidth: 0,
    tickfont: {color: c.muted, size: 11}, xpad: 6, ypad: 0};
}

function frequencyAxis(grid, octaves) {
  if (!octaves) return {title: "frequency [cycles per token]", range: [0, 0.5]};
  return Object.assign({title: "frequency [cycles per token]", type: "log",
    range: [Math.log10(grid[0]), Math.log10(0.5)]}, octaveTicks(grid[0]));
}

// Names of some rows, by their centre frequencies.
function rowAxis(mixer) {
  const n = mixer.centre.length;
  const places = [...new Set([0, Math.round((n - 1) / 4), Math.round((n - 1) / 2), Math.round((3 * (n - 1)) / 4), n - 1])];
  return {title: "centre frequency [cycles per token]", tickvals: places, ticktext: places.map((i) => mixer.centre[i].toFixed(3)),
    range: [-0.5, n - 0.5]};
}

function rowName(mixer, row) {
  const shared = mixer.counts[row] > 1 ? `, shared by ${mixer.counts[row]}` : "";
  return `${mixer.rows} ${mixer.indices[row]}${shared}`;
}

function drawResponses(mixer, state) {
  const grid = frequencyGrid(mixer.taps.shape[2], state.octaves);
  const learned = tapsAt(mixer, state.snapshot);
  const kind = MAGNITUDES[state.scale];
  const x = frequencyAxis(grid, state.octaves);
  const shown = {learned: scaled(magnitudes(learned, grid), state.scale), haar: scaled(magnitudes(haarTaps(mixer), grid), state.scale)};
  const names = {learned: state.when ? `learned, step ${state.when}` : "as trained", haar: "Haar of about the same length"};
  for (const id of ["learned", "haar"]) {
    const z = shown[id];
    const range = kind.range || [0, Math.max(...shown.learned.map((row) => Math.max(...row)), 1e-9)];
    const heat = {type: "heatmap", x: grid, z, zmin: range[0], zmax: range[1], colorscale: MAGMA,
      customdata: z.map((row, n) => row.map(() => rowName(mixer, n))), showscale: id === "haar", colorbar: colourbar(kind.title),
      hovertemplate: "%{customdata}<br>%{x:.4f} cycles per token<br>%{z:.2f}<extra></extra>"};
    const traces = [heat];
    if (id === "learned") traces.push(
      {x: mixer.centre, y: mixer.centre.map((_, n) => n), mode: "lines", line: {color: "#ffffff", width: 1.5}, hoverinfo: "skip"});
    traces.push({x: [grid[0], 0.5], y: [state.kernel, state.kernel], mode: "lines", line: {color: colours().series[5], width: 1.5, dash: "dot"}, hoverinfo: "skip"});
    draw(id, traces, layout(names[id], x, rowAxis(mixer), id === "haar" ? {margin: {l: 48, r: 80, t: 34, b: 44}} : {}),
      `Heat map of the frequency responses of ${mixer.centre.length} kernels, ${mixer.label}, ${names[id]}; centre frequencies from ${mixer.centre[0]} to ${mixer.centre[mixer.centre.length - 1]} cycles per token.`);
  }
}

function drawKernel(mixer, state) {
  const c = colours(), n = state.kernel;
  const learned = tapsAt(mixer, state.snapshot)[n], start = tapsAt(mixer, 0)[n], haar = haarTaps(mixer)[n];
  const grid = frequencyGrid(mixer.taps.shape[2], state.octaves);
  const lines = [[haar, "Haar", c.ink, "dot"]];
  if (mixer.steps.length > 1) lines.push([start, "at the start", c.series[1], "dash"]);
  lines.push([learned, "learned", c.series[0], "solid"]);
  let used = 0;
  for (const [taps] of lines) taps.forEach((v, k) => { if (v !== 0) used = Math.max(used, k); });
  const style = (colour, dash, name) => ({mode: "lines", name, line: {color: colour, width: 2, dash}});
  const legend = {showlegend: true, legend: {orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom", font: {size: 12, color: c.ink}}};
  const scale = state.scale;
  draw("taps", lines.map(([taps, name, colour, dash]) => Object.assign(style(colour, dash, name),
    {y: taps.slice(0, used + 1), mode: used < 64 ? "lines+markers" : "lines", marker: {size: 4}, hovertemplate: "lag %{x}: %{y:.4f}<extra>" + name + "</extra>"})),
    layout("taps", {title: "lag [tokens]", range: [-0.5, used + 0.5]}, {showgrid: true}, legend),
    `Taps of ${rowName(mixer, n)} over lags 0 to ${used}, with those of Haar.`);
  draw("response", lines.map(([taps, name, colour, dash]) => Object.assign(style(colour, dash, name),
    {x: grid, y: scaled(magnitudes([taps], grid), scale)[0], hovertemplate: "%{x:.4f}: %{y:.2f}<extra>" + name + "</extra>"})),
    layout("frequency response", frequencyAxis(grid, state.octaves), {title: scale === "linear" ? "gain" : scale === "gain" ? "gain [dB]" : "relative [dB]", showgrid: true, range: scale === "linear" ? undefined : [-42, scale === "gain" ? 12 : 2]}, legend),
    `Frequency response of ${rowName(mixer, n)}, centre frequency ${mixer.centre[n]} cycles per token.`);
}

function drawChange(mixers, mixer, state) {
  const c = colours();
  const moved = mixers.filter((m) => m.change.steps.length > 1);
  if (!moved.length) return;
  const now = state.when === null ? null : Number(state.when);
  const line = {shapes: now === null ? [] : [{type: "line", x0: now, x1: now, yref: "paper", y0: 0, y1: 1, line: {color: c.muted, width: 1, dash: "dot"}}]};
  const percent = (values) => values.map((v) => 100 * v);
  draw("distance", moved.map((m, i) => ({x: m.change.steps, y: percent(m.change.mean), mode: "lines", name: plain(m.label),
    line: {color: c.series[i % 6], width: m === mixer ? 3.5 : 1.75, dash: ["solid", "dash", "dot"][Math.floor(i / 6) % 3]},
    hovertemplate: "step %{x}: %{y:.1f} %"})),
    layout("distance from the start [% of its size]", {title: "training step"}, {rangemode: "tozero", showgrid: true},
      Object.assign({showlegend: true, legend: {font: {size: 11, color: c.ink}, x: 1.02, y: 1}}, line)),
    `How far the kernels of each mixer are from their start, against training steps; at the end ${moved.map((m) => `${m.label} ${Math.round(100 * m.change.mean.at(-1))} %`).join(", ")}.`);
  const shown = mixer.change.steps.length > 1 ? mixer : moved[0];
  draw("centres", shown.change.centres.map((y, n) => ({x: shown.change.steps, y, mode: "lines", name: rowName(shown, n),
    line: {color: n === state.kernel && shown === mixer ? c.series[1] : c.series[0], width: n === state.kernel && shown === mixer ? 3 : 1},
    opacity: n === state.kernel ? 1 : 0.6, hovertemplate: "step %{x}: %{y:.3f}"})),
    layout(`centre frequencies, ${shown.label}`, {title: "training step"}, {title: "cycles per token", range: [0, 0.5], showgrid: true}, line),
    `Centre frequencies of the kernels, ${shown.label}, against training steps.`);
}

function drawMap(data, mixer, state) {
  const map = mixer.maps[Math.min(state.map, mixer.maps.length - 1)];
  if (!map) return;
  const c = colours(), tokens = data.tokens;
  const z = rowsOf(unpack(map, 1), map.shape[0], map.shape[1]).map((row) => row.map((v) => v + (map.offset || 0)));
  const reach = Math.max(...z.map((row) => Math.max(...row.map(Math.abs)))) || 1;
  const top = Math.max(...z.map((row) => Math.max(...row)));
  const single = tokens.every((t) => [...t].length === 1);
  document.getElementById("map").style.minWidth = `${tokens.length * (single ? 7.4 : 14) + 140}px`;
  draw("map", [{type: "heatmap", z, zmin: map.signed ? -reach : top - 40, zmax: map.signed ? reach : top,
    colorscale: map.signed ? c.signed : MAGMA, colorbar: colourbar(""),
    customdata: z.map((row, n) => row.map((_, t) => `${rowName(mixer, n)}<br>token ${t + 1}: ${plain(tokens[t])}`)),
    hovertemplate: "%{customdata}<br>%{z:.3f}<extra></extra>"}],
    layout(`${map.title}, ${mixer.label}`, {title: "tokens", tickvals: tokens.map((_, t) => t), ticktext: tokens.map(plain), tickangle: single ? 0 : -90,
      tickfont: {size: 10, color: c.ink}, ticklen: 0}, rowAxis(mixer)),
    `Heat map: ${map.title} of ${z.length} kernels over ${tokens.length} tokens, ${mixer.label}.`);
}

function drawPaths(data, mixer, state) {
  const path = mixer.path;
  if (!path) return;
  const c = colours(), end = state.upto;
  const first = Math.max(0, end - 60);
  const all = [0, 1].map((axis) => [...path.before[axis], ...path.after[axis]]);
  const limits = all.map((values) => {
    const low = Math.min(...values), high = Math.max(...values), margin = 0.07 * (high - low || 1);
    return [low - margin, high + margin];
  });
  for (const id of ["before", "after"]) {
    const [x, y] = path[id].map((values) => values.slice(first, end));
    const names = data.tokens.slice(first, end).map(plain);
    draw(id, [{x, y, text: names, mode: "lines+markers+text", textposition: "top right", textfont: {size: 11, color: c.ink},
      line: {color: c.rule, width: 1}, marker: {size: 6, color: names.map((_, i) => i), colorscale: "Viridis"},
      customdata: names.map((_, i) => first + i + 1), hovertemplate: "token %{customdata}: %{text}<extra></extra>"}],
      layout(`${id === "before" ? "input" : "output"} of the mixer`, {title: `component 1 (${Math.round(100 * path.explained[0])} % of variance)`, range: limits[0], showgrid: true},
        {title: `component 2 (${Math.round(100 * path.explained[1])} %)`, range: limits[1], showgrid: true}),
      `Path of the embeddings of tokens ${first + 1} to ${end} ${id} the mixer, ${mixer.label}, in two principal components.`);
  }
}

function band(places, means, colour, name) {
  const up = means.map(([v, e]) => v + 2 * (e || 0)), down = means.map(([v, e]) => v - 2 * (e || 0));
  return [
    {x: [...places, ...places.slice().reverse()], y: [...up, ...down.reverse()], fill: "toself", fillcolor: colour, opacity: 0.15,
      line: {width: 0}, mode: "lines", hoverinfo: "skip", showlegend: false},
    {x: places, y: means.map(([v]) => v), mode: "lines+markers", name: plain(name), line: {color: colour, width: 2}, marker: {size: 5},
      customdata: means.map(([, e]) => 2 * (e || 0)), hovertemplate: "%{y:.3f} ± %{customdata:.3f}"},
  ];
}

function drawLosses(data) {
  const c = colours(), pair = [c.series[0], c.ink];
  const legend = {showlegend: data.runs.length > 1, legend: {orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom", font: {color: c.ink}}};
  if (data.positions) {
    const bins = data.positions.bins, places = bins.map((b) => b.place);
    const last = Math.log2(places[places.length - 1]);
    const ticks = Array.from({length: Math.floor(last / 2) + 1}, (_, i) => 4 ** i);
    const x = {title: "tokens that the prediction is made from", type: "log", tickvals: ticks, ticktext: ticks.map(String)};
    draw("positions", data.runs.flatMap((name, i) => band(places, bins.map((b) => b.losses[i]), pair[i], name)),
      layout("loss [nats per token]", x, {showgrid: true}, legend), "Loss against the position in the context; the table below has the numbers.");
    if (data.runs.length > 1) {
      draw("differences", band(places, bins.map((b) => b.difference), pair[0], ""),
        layout(`${data.runs[0]} minus ${data.runs[1]} [nats per token]`, x, {showgrid: true, zeroline: true, zerolinecolor: c.muted}),
        "Difference of the losses against the position in the context; the table below has the numbers.");
    }
  }
  data.classes.forEach((table, k) => {
    const names = table.bins.map((b) => b.name);
    draw(`classes-${k}`, data.runs.map((run, i) => ({type: "bar", orientation: "h", name: plain(run), y: names, x: table.bins.map((b) => b.losses[i][0]),
      marker: {color: pair[i]}, error_x: {array: table.bins.map((b) => 2 * (b.losses[i][1] || 0)), color: c.muted, thickness: 1.5, width: 3},
      hovertemplate: "%{y}: %{x:.3f}"})),
      layout(table.title, {title: "loss [nats per token]", showgrid: true}, {autorange: "reversed", ticklen: 0},
        Object.assign({barmode: "group", bargap: 0.35, height: 90 + 46 * names.length}, legend)),
      `Loss by ${table.title}; the table below has the numbers.`);
  });
}
