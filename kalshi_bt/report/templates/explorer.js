// The chart of one market, and the list of trades.

const choices = island.tables.choices || [];
const select = $("market-choice");
let span = null; // of the trade that was chosen, in milliseconds

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
  const choice = choices[select.selectedIndex];
  const about = $("market-about");
  const title = document.createElement("strong");
  title.textContent = choice.title || choice.ticker;
  about.replaceChildren(title);
  say(about, "Ticker", choice.ticker);
  say(about, "P&L", choice.pnl, choice.tone);
  say(about, "Trades", choice.trades);
  say(about, "Fills", choice.fills);
  say(about, "Scheduled close", choice.close);
  say(about, "Payout of YES", choice.payout);
  $("market-back").disabled = select.selectedIndex === 0;
  $("market-next").disabled = select.selectedIndex === choices.length - 1;
  return draw("plot-market", island.tables.charts[choice.figure], (layout, columns) => {
    if ($("market-zoom").checked) zoom(layout, span || times(columns));
    layout.uirevision = choice.figure + $("market-zoom").checked + span;
  });
}

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
  select.addEventListener("change", () => chooseMarket(select.selectedIndex));
  $("market-zoom").addEventListener("change", drawMarket);
  $("market-back").addEventListener("click", () => chooseMarket(select.selectedIndex - 1));
  $("market-next").addEventListener("click", () => chooseMarket(select.selectedIndex + 1));
}

// The list of trades.

const charted = new Set(choices.map((choice) => choice.ticker));
const clock = (s) => new Date(s * 1000).toISOString().slice(0, 16).replace("T", " ");
const trim = (number) => number.toFixed(2).replace(/\.?0+$/, "");
const cents = (price) => trim(price / 100) + "¢";

function dollars(micro, signed) {
  const text = Math.abs(micro / 1e6).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const sign = text === "0.00" ? "" : micro < 0 ? "−" : signed ? "+" : "";
  return sign + "$" + text;
}

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
  ["Contracts", (t) => t.quantity, (t) => trim(t.quantity / 100), "num"],
  ["Paid", (t) => t.paid, (t) => cents(t.paid), "num"],
  ["Got", (t) => t.got, (t) => cents(t.got), "num"],
  ["Exit by", (t) => t.reason, (t) => t.reason, "gap"],
  ["Held", (t) => t.exit - t.entry, (t) => held(t.exit - t.entry), "num"],
  ["Spread", (t) => t.spread, (t) => dollars(t.spread), "num"],
  ["Fees", (t) => t.fees, (t) => dollars(t.fees), "num"],
  ["P&L", (t) => t.pnl, (t) => dollars(t.pnl, true), "num"],
];

function setUpTrades() {
  const names = Object.keys(table.columns);
  const rows = table.columns.id.map((_, i) => {
    const t = {};
    for (const name of names) t[name] = table.columns[name][i];
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
    cell.title = trade.title;
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
