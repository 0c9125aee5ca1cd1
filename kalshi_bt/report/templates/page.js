// Draws the figures, lists the trades, switches the theme. Everything it shows stands in the page.
(function () {
  "use strict";
  const root = document.documentElement;
  const island = JSON.parse(document.getElementById("island").textContent);
  const $ = (id) => document.getElementById(id);
  const PAGE = 25;
  const PAPER = 690; // pixels across a printed page
  let paper = 0;

  // --- figures: columns are differences, colours are CSS variables -----------------------------

  function unpack(column) {
    let total = 0;
    return column.steps.map((step) => {
      if (step === null) return null;
      total += step * column.times;
      return total / column.per;
    });
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
    if (/color$/.test(key)) return colour(node);
    if ((key === "x" || key === "y") && typeof node === "string" && node[0] === "$") {
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
      margin: { l: 56, r: 14, t: 26, b: 36 },
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
    const columns = {};
    for (const name of Object.keys(figure.columns)) columns[name] = unpack(figure.columns[name]);
    const narrow = innerWidth < 760;
    const layout = look(resolve(figure.layout, columns, ""), narrow);
    if (paper) {
      layout.width = Math.floor(element.clientWidth * paper / document.querySelector("main").clientWidth);
    }
    if (change) change(layout, columns);
    return Plotly.react(element, figure.data.map((spec) => trace(spec, columns)), layout, {
      responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    });
  }

  // --- markets -------------------------------------------------------------------------------

  const choices = island.tables.choices || [];
  const select = $("market-choice");

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
      if ($("market-zoom").checked) zoom(layout, columns);
      layout.uirevision = choice.figure + $("market-zoom").checked;
    });
  }

  function zoom(layout, columns) {
    const marks = [];
    for (const name of Object.keys(columns)) if (/ time$/.test(name)) marks.push(...columns[name]);
    if (!marks.length) return;
    const low = Math.min(...marks), high = Math.max(...marks);
    const room = Math.max((high - low) * 0.15, 60000);
    layout.xaxis = Object.assign({}, layout.xaxis, { range: [low - room, high + room] });
  }

  function showMarket(ticker) {
    const index = choices.findIndex((choice) => choice.ticker === ticker);
    if (index < 0) return;
    select.selectedIndex = index;
    drawMarket();
    $("markets").scrollIntoView();
    select.focus({ preventScroll: true });
  }

  function stepMarket(by) {
    select.selectedIndex = Math.max(0, Math.min(choices.length - 1, select.selectedIndex + by));
    drawMarket();
  }

  if (select) {
    select.addEventListener("change", drawMarket);
    $("market-zoom").addEventListener("change", drawMarket);
    $("market-back").addEventListener("click", () => stepMarket(-1));
    $("market-next").addEventListener("click", () => stepMarket(1));
  }

  // --- trades --------------------------------------------------------------------------------

  const charted = new Set(choices.map((choice) => choice.ticker));
  const clock = (s) => new Date(s * 1000).toISOString().slice(0, 16).replace("T", " ");
  const trim = (number) => number.toFixed(2).replace(/\.?0+$/, "");
  const cents = (price) => trim(price / 100) + "¢";

  function dollars(micro, signed) {
    const text = Math.abs(micro / 1e6).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    const sign = text === "0.00" ? "" : micro < 0 ? "−" : signed ? "+" : "";
    return sign + "$" + text;
  }

  function span(seconds) {
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
    ["Held", (t) => t.exit - t.entry, (t) => span(t.exit - t.entry), "num"],
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
        button.addEventListener("click", () => showMarket(trade.ticker));
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

    $("trade-filter").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      found = rows.filter((trade) => words.every((word) => trade.words.includes(word)));
      page = 0;
      show();
    });
    $("trade-back").addEventListener("click", () => { page -= 1; show(); });
    $("trade-next").addEventListener("click", () => { page += 1; show(); });
    $("trade-tools").hidden = false;
    show();
  }

  // --- page ----------------------------------------------------------------------------------

  function drawAll() {
    const drawn = Object.keys(island.figures).map((id) => draw(id, island.figures[id]));
    return Promise.all(drawn.concat(drawMarket()));
  }

  const themeButton = $("theme");

  function setTheme(name) {
    root.dataset.theme = name;
    themeButton.textContent = name === "dark" ? "Light" : "Dark";
    return drawAll();
  }

  themeButton.hidden = false;
  themeButton.addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    setTheme(event.matches ? "dark" : "light");
  });
  addEventListener("hashchange", () => {
    if (location.hash === "#dark" || location.hash === "#light") setTheme(location.hash.slice(1));
  });

  // Paper is white and narrow: draw for it, and for the screen again afterwards.
  let screen;
  addEventListener("beforeprint", () => {
    screen = root.dataset.theme;
    paper = PAPER;
    setTheme("light");
  });
  addEventListener("afterprint", () => {
    paper = 0;
    setTheme(screen);
  });

  const copy = $("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", () => {
      navigator.clipboard.writeText($("command").textContent).then(() => { copy.textContent = "Copied"; });
    });
  }

  const links = new Map([...document.querySelectorAll("nav.sections a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((a, id) => {
        if (id === entry.target.id) a.setAttribute("aria-current", "true");
        else a.removeAttribute("aria-current");
      });
    }
  }, { rootMargin: "-15% 0px -80% 0px" });
  document.querySelectorAll("main section").forEach((section) => watch.observe(section));

  if (table) setUpTrades();
  setTheme(root.dataset.theme).then(() => {
    const drawn = [...document.querySelectorAll(".plot")].filter((plot) => plot.querySelector(".main-svg"));
    root.dataset.plots = String(drawn.length);
    root.dataset.requests = String(performance.getEntriesByType("resource").length);
    root.dataset.ready = "1";
  });
})();
