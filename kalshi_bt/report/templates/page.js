// The page: its theme, its paper, its links. The last of the scripts: it starts the others.

const moment = $("moment-choice");

function drawMoment() {
  if (!moment) return Promise.resolve();
  for (const table of document.querySelectorAll(".moment")) table.hidden = table.dataset.point !== moment.value;
  return draw("plot-reliability", island.tables.reliability[moment.value]);
}

if (moment) moment.addEventListener("change", drawMoment);

// Every figure: its element, and how it is drawn.
function figures() {
  const all = Object.keys(island.figures).map((id) => [id, () => draw(id, island.figures[id])]);
  all.push(["plot-reliability", drawMoment], ["plot-market", drawMarket]);
  return all.map(([id, step]) => [$(id), step]).filter(([element]) => element);
}

function distance([element]) {
  const at = element.getBoundingClientRect();
  return Math.max(at.top - innerHeight, -at.bottom, 0);
}

const idle = () => new Promise((resume) => {
  if (window.requestIdleCallback) requestIdleCallback(resume, { timeout: 200 });
  else setTimeout(resume);
});

// What is looked at is drawn at once, the rest one by one while nothing else is to do, always the
// nearest first; a newer call ends an older one.
let calls = 0;
async function drawAll() {
  const call = calls += 1;
  const left = figures();
  while (left.length) {
    left.sort((a, b) => distance(a) - distance(b));
    if (distance(left[0]) > 0) await idle();
    if (call !== calls) return;
    await left.shift()[1]();
  }
  const drawn = [...document.querySelectorAll(".plot")].filter((plot) => plot.querySelector(".main-svg"));
  root.dataset.plots = String(drawn.length);
  root.dataset.requests = String(performance.getEntriesByType("resource").length);
  root.dataset.drawn = "1";
}

const themeButton = $("theme");

function setTheme(name) {
  root.dataset.theme = name;
  themeButton.textContent = name === "dark" ? "Light" : "Dark";
}

function switchTheme(name) {
  setTheme(name);
  drawAll();
}

themeButton.hidden = false;
themeButton.addEventListener("click", () => switchTheme(root.dataset.theme === "dark" ? "light" : "dark"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  switchTheme(event.matches ? "dark" : "light");
});
addEventListener("hashchange", () => {
  if (location.hash === "#dark" || location.hash === "#light") switchTheme(location.hash.slice(1));
});

// Paper is white and narrow: draw for it, and for the screen again afterwards.
let screen;
addEventListener("beforeprint", () => {
  screen = root.dataset.theme;
  paper = PAPER;
  setTheme("light");
  calls += 1;
  figures().forEach(([, step]) => step()); // paper does not wait
});
addEventListener("afterprint", () => {
  paper = 0;
  switchTheme(screen);
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
setTheme(root.dataset.theme);
root.dataset.ready = "1";
drawAll();
