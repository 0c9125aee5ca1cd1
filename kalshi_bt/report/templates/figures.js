// Figures: columns are differences, colours are CSS variables.
// Plotly lies in the page as text and runs with the first figure: it is most of the page's work.

const root = document.documentElement;
const island = JSON.parse(document.getElementById("island").textContent);
const $ = (id) => document.getElementById(id);
const PAGE = 25;
const PAPER = 690; // pixels across a printed page
let paper = 0;

function plotly() {
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = $("plotly").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

// Differences in base 64: one number each, seven bits a byte, the lowest first; 0 is null, then
// 0, -1, 1, -2, 2 and so on.
function unpack(column) {
  const bytes = atob(column.steps), out = [];
  let total = 0, code = 0, unit = 1;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes.charCodeAt(i);
    code += (byte & 127) * unit;
    unit *= 128;
    if (byte > 127) continue;
    total += (code % 2 ? (code - 1) / 2 : -code / 2) * column.times;
    out.push(code ? total / column.per : null);
    code = 0;
    unit = 1;
  }
  return out;
}

function unpackAll(columns) {
  const out = {};
  for (const name of Object.keys(columns)) out[name] = unpack(columns[name]);
  return out;
}

function colour(value) {
  if (Array.isArray(value)) return value.map(colour);
  if (typeof value !== "string" || !value.startsWith("--")) return value;
  return getComputedStyle(root).getPropertyValue(value).trim();
}

// A band of steps between two lines, as closed shapes: where either line is missing, there is none.
function ribbon(time, low, high) {
  const x = [], y = [];
  let from = 0;
  while (from < time.length) {
    let to = from;
    while (to < time.length && low[to] !== null && high[to] !== null) to += 1;
    const until = (i) => time[Math.min(i + 1, time.length - 1)];
    for (let i = from; i < to; i += 1) { x.push(time[i], until(i)); y.push(high[i], high[i]); }
    for (let i = to - 1; i >= from; i -= 1) { x.push(until(i), time[i]); y.push(low[i], low[i]); }
    if (to > from) { x.push(null); y.push(null); }
    from = to + 1;
  }
  return { x, y };
}

function trace(spec, columns) {
  const out = resolve(spec, columns, "");
  if (!spec.between) return out;
  const [low, high] = spec.between;
  delete out.between;
  return Object.assign(out, ribbon(out.x, columns[low], columns[high]));
}

function resolve(node, columns, key) {
  if (/color(scale)?$/.test(key)) return colour(node);
  if (/^(x|y|text)$/.test(key) && typeof node === "string" && node[0] === "$") {
    return columns[node.slice(1)];
  }
  if (Array.isArray(node)) return node.map((item) => resolve(item, columns, ""));
  if (node === null || typeof node !== "object") return node;
  const out = {};
  for (const name of Object.keys(node)) out[name] = resolve(node[name], columns, name);
  return out;
}

function look(layout, narrow) {
  const axis = {
    gridcolor: colour("--grid"), linecolor: colour("--strong-rule"), tickcolor: colour("--strong-rule"),
    zerolinecolor: colour("--faint"), automargin: true, fixedrange: narrow,
  };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--muted") },
    // room for titles, ticks and keys on a wide screen: a margin that grows draws the figure twice
    margin: narrow ? { l: 56, r: 14, t: 26, b: 36 } : { l: 88, r: 24, t: layout.legend ? 50 : 26, b: 52 },
    hoverlabel: {
      bgcolor: colour("--hover"), bordercolor: colour("--strong-rule"),
      font: { color: colour("--text"), size: 12.5 }, align: "left",
    },
    dragmode: narrow ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--text") },
  };
  const out = Object.assign(base, layout);
  for (const name of Object.keys(out)) {
    if (/^[xy]axis/.test(name)) {
      out[name] = Object.assign({}, axis, out[name]);
      if (narrow) delete out[name].title;
    }
  }
  return out;
}

function draw(id, figure, change) {
  const element = $(id);
  if (!element || !figure) return Promise.resolve();
  const columns = figure.unpacked || unpackAll(figure.columns);
  const narrow = innerWidth < 760;
  const layout = look(resolve(figure.layout, columns, ""), narrow);
  if (paper) {
    layout.width = Math.floor(element.clientWidth * paper / document.querySelector("main").clientWidth);
  }
  if (change) change(layout, columns);
  return plotly().react(element, figure.data.map((spec) => trace(spec, columns)), layout, {
    responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  });
}
