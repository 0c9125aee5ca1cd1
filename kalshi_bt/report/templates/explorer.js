// The chart of one market, and the list of trades.

const charts = island.tables.charts || {};
const choices = (charts.tickers || []).map((ticker, i) => ({ ticker, title: charts.titles[i] }));
const select = $("market-choice");
let span = null; // of the trade that was chosen, in milliseconds

const clock = (s) => new Date(s * 1000).toISOString().slice(0, 16).replace("T", " ");
const trim = (number) => number.toFixed(2).replace(/\.?0+$/, "");
const cents = (price) => trim(price / 100) + "¢";
const whole = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 2 });

function dollars(micro, signed) {
  const text = Math.abs(micro / 1e6).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const sign = text === "0.00" ? "" : micro < 0 ? "−" : signed ? "+" : "";
  return sign + "$" + text;
}

// Where the rows of every market begin, and after the last of them.
function begins(counts) {
  const out = [0];
  for (const count of unpack(counts)) out.push(out[out.length - 1] + count);
  return out;
}

// What a fill did on the side that is held: NO bought, not YES sold.
function fillText(kind, fill, i) {
  const entry = kind.startsWith("Buy"), yes = (fill.quantity[i] > 0) === entry;
  const price = Math.round(fill.price[i] * 10000);
  const verb = entry ? "Bought" : kind === "Settlement" ? "Settled" : "Sold";
  const what = [verb, whole(Math.abs(fill.quantity[i]) / 100), yes ? "YES" : "NO", "at"].join(" ");
  const [reason, role] = [fill.reason[i], fill.role[i]].map((code) => charts.words[code]);
  return `${what} ${cents(yes ? price : 10000 - price)}<br>${reason}, ${role}, fee ${dollars(fill.fee[i])}`;
}

// The tables of all markets, read when the first chart is asked for.
let tables = null;
function allMarkets() {
  if (tables) return tables;
  tables = [[begins(charts.rows), unpackAll(charts.columns), ""]];
  for (const kind of Object.keys(charts.marks)) {
    const { rows, ...columns } = charts.marks[kind];
    tables.push([begins(rows), unpackAll(columns), kind]);
  }
  return tables;
}

// The chart of one market: its rows of every table, and the traces that have a number in them.
function chartOf(index) {
  const columns = {};
  for (const [begin, all, kind] of allMarkets()) {
    const own = {};
    for (const name of Object.keys(all)) own[name] = all[name].slice(begin[index], begin[index + 1]);
    if (kind) own.text = own.time.map((_, i) => fillText(kind, own, i));
    for (const name of Object.keys(own)) columns[kind ? kind + " " + name : name] = own[name];
  }
  const told = (name) => (columns[name] || []).some((value) => value !== null);
  const data = charts.figure.data.filter((spec) => (spec.between || [spec.y.slice(1)]).every(told));
  return { ...charts.figure, data, unpacked: columns };
}

function say(element, name, text, tone) {
  const item = document.createElement("span");
  const value = document.createElement("b");
  value.textContent = text;
  value.className = tone || "";
  item.append(name + " ", value);
  element.append(item);
}

function drawMarket() {
  if (!select) return Promise.resolve();
  const index = select.selectedIndex, choice = choices[index];
  const about = $("market-about");
  const title = document.createElement("strong");
  title.textContent = choice.title || choice.ticker;
  about.replaceChildren(title);
  const cut = choice.fills > charts.most ? ", the first " + whole(charts.most) + " drawn" : "";
  say(about, "Ticker", choice.ticker);
  say(about, "P&L", result(choice), choice.pnl > 0 ? "gain" : choice.pnl < 0 ? "loss" : "");
  say(about, "Trades", whole(choice.trades));
  say(about, "Fills", whole(choice.fills) + cut);
  say(about, "Scheduled close", choice.close === null ? "not known" : clock(choice.close / 1000));
  say(about, "Payout of YES", choice.payout === null ? "not settled" : cents(choice.payout));
  $("market-back").disabled = index === 0;
  $("market-next").disabled = index === choices.length - 1;
  return draw("plot-market", chartOf(index), (layout, columns) => {
    if ($("market-zoom").checked) zoom(layout, span || times(columns));
    layout.uirevision = index + " " + $("market-zoom").checked + span;
  });
}

const result = (choice) => (choice.pnl === null ? "none closed" : dollars(choice.pnl, true));

function times(columns) {
  return Object.keys(columns).filter((name) => / time$/.test(name)).flatMap((name) => columns[name]);
}

function zoom(layout, marks) {
  if (!marks.length) return;
  const low = Math.min(...marks), high = Math.max(...marks);
  const room = Math.max((high - low) * 0.15, 60000);
  layout.xaxis = Object.assign({}, layout.xaxis, { range: [low - room, high + room] });
}

function showTrade(trade) {
  select.selectedIndex = choices.findIndex((choice) => choice.ticker === trade.ticker);
  span = [trade.entry * 1000, trade.exit * 1000];
  $("market-zoom").checked = true;
  drawMarket();
  $("market").scrollIntoView();
  select.focus({ preventScroll: true });
}

function chooseMarket(index) {
  select.selectedIndex = Math.max(0, Math.min(choices.length - 1, index));
  span = null;
  drawMarket();
}

if (select) {
  const about = unpackAll(charts.about);
  choices.forEach((choice, i) => {
    for (const name of Object.keys(about)) choice[name] = about[name][i];
    select.add(new Option(i + 1 + ". " + choice.ticker + "  " + result(choice)));
  });
  select.addEventListener("change", () => chooseMarket(select.selectedIndex));
  $("market-zoom").addEventListener("change", drawMarket);
  $("market-back").addEventListener("click", () => chooseMarket(select.selectedIndex - 1));
  $("market-next").addEventListener("click", () => chooseMarket(select.selectedIndex + 1));
}

// The list of trades.

const charted = new Set(choices.map((choice) => choice.ticker));
function held(seconds) {
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24;
  const m = Math.floor(seconds / 60) % 60, s = Math.floor(seconds) % 60;
  const parts = [[d, "d"], [h, "h"], [m, "m"], [s, "s"]];
  const first = parts.findIndex(([count]) => count);
  if (first < 0) return "0s";
  return parts.slice(first, first + 2).filter(([count]) => count).map(([count, unit]) => count + unit).join(" ");
}

const table = island.tables.trades;
const COLUMNS = [
  ["Entry", (t) => t.entry, (t) => clock(t.entry), "num left"],
  ["Ticker", (t) => t.ticker, null, ""],
  ["Side", (t) => t.side, (t) => (t.side > 0 ? "YES" : "NO"), ""],
  ["Contracts", (t) => t.quantity, (t) => whole(t.quantity / 100), "num"],
  ["Paid", (t) => t.paid, (t) => cents(t.paid), "num"],
  ["Got", (t) => t.got, (t) => cents(t.got), "num"],
  ["Exit by", (t) => t.reason, (t) => t.reason, "gap"],
  ["Held", (t) => t.exit - t.entry, (t) => held(t.exit - t.entry), "num"],
  ["Spread", (t) => t.spread, (t) => dollars(t.spread), "num"],
  ["Fees", (t) => t.fees, (t) => dollars(t.fees), "num"],
  ["P&L", (t) => t.pnl, (t) => dollars(t.pnl, true), "num"],
];

function setUpTrades() {
  const columns = unpackAll(table.columns);
  const names = Object.keys(columns);
  const rows = columns.id.map((_, i) => {
    const t = {};
    for (const name of names) t[name] = columns[name][i];
    t.title = table.titles[t.ticker];
    t.ticker = table.tickers[t.ticker];
    t.reason = table.reasons[t.reason];
    t.words = [t.ticker, t.title, t.reason, t.side > 0 ? "yes" : "no"].join(" ").toLowerCase();
    return t;
  });
  let found = rows, sorted = 0, down = false, page = 0;
  const head = document.createElement("tr");
  COLUMNS.forEach(([name, , , style], index) => {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    cell.scope = "col";
    cell.className = style;
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      down = sorted === index ? !down : style === "num";
      sorted = index;
      show();
    });
    cell.append(button);
    head.append(cell);
  });
  $("trade-list").tHead.append(head);

  function cellOf(trade, [name, , text, style]) {
    const cell = document.createElement("td");
    cell.className = name === "P&L" ? style + (trade.pnl > 0 ? " gain" : trade.pnl < 0 ? " loss" : "") : style;
    if (name !== "Ticker") {
      cell.textContent = text(trade);
      return cell;
    }
    cell.title = trade.title + (charted.has(trade.ticker) ? "" : " (its chart is not in this file)");
    if (charted.has(trade.ticker)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chart";
      button.textContent = trade.ticker;
      button.setAttribute("aria-label", "Show the chart of " + trade.ticker);
      cell.append(button);
    } else {
      cell.textContent = trade.ticker;
    }
    return cell;
  }

  function show() {
    const key = COLUMNS[sorted][1];
    const sign = down ? -1 : 1;
    found.sort((a, b) => {
      const p = key(a), q = key(b);
      return (p < q ? -sign : p > q ? sign : 0) || a.id - b.id;
    });
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    page = Math.min(page, last);
    [...head.children].forEach((cell, index) => {
      if (index === sorted) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    const lines = found.slice(page * PAGE, (page + 1) * PAGE).map((trade) => {
      const line = document.createElement("tr");
      if (charted.has(trade.ticker)) {
        line.className = "charted";
        line.addEventListener("click", () => showTrade(trade));
      }
      line.append(...COLUMNS.map((column) => cellOf(trade, column)));
      return line;
    });
    $("trade-list").tBodies[0].replaceChildren(...lines);
    const sum = found.reduce((total, trade) => total + trade.pnl, 0);
    const part = found.length === rows.length ? "" : " of " + rows.length;
    $("trade-count").textContent = found.length + part + " trades, P&L " + dollars(sum, true);
    $("trade-page").textContent = page + 1 + " / " + (last + 1);
    $("trade-back").disabled = page === 0;
    $("trade-next").disabled = page === last;
  }

  const filter = $("trade-filter"), side = $("trade-side"), result = $("trade-result"), reason = $("trade-reason");

  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter((trade) => words.every((word) => trade.words.includes(word))
      && (!side.value || trade.side === Number(side.value))
      && (!result.value || Math.sign(trade.pnl) === Number(result.value))
      && (!reason.value || trade.reason === reason.value));
    page = 0;
    show();
  }

  filter.addEventListener("input", narrow);
  for (const choice of [side, result, reason]) choice.addEventListener("change", narrow);
  $("trade-back").addEventListener("click", () => { page -= 1; show(); });
  $("trade-next").addEventListener("click", () => { page += 1; show(); });
  $("trade-tools").hidden = false;
  show();
}
