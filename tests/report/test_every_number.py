"""Every number of the page is looked up: in the metrics, a table of the run, or a sum over one.

The page is read as a reader does, section by section. What a section may say is worked out here
from the run in plain loops; a number that is none of these, to the decimals it is shown with, is
invented.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from page_island import unpacked

from kalshi_bt.report import Run, render_html
from kalshi_bt.report.markouts import mean_by_event, quality_of_fills
from kalshi_bt.run_folder import metrics_text

# Numbers of sentences and headings that are the same for every run.
FIXED = (
    "95 % intervals", "95 %", "[0-9]+ % interval", "1 in 20", "reaches 20", "started with 1 ",
    "30¢ is drawn at 70¢", "How far bars can be believed .*", "at 1 of its", "after [0-9]+[mh]",
    "[0-9]+[dhm] before the scheduled close", "[0-9]+–[0-9]+[%¢]", "PSR, 20(12|25) convention",
    "Record needed, 20(12|25)", "ten bins", "every fill one tick", "fees × 1.5",
    "[0-9]+[mhd]–[0-9]+[mhd]", "under 5m", "over 7d",
)  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?")
SPAN = re.compile(r"\b(?:\d+[dhms] ?){1,2}(?![\w])")
NUMBER = re.compile(r"(?<![\w.])([−+-]?)\$?(\d[\d,]*(?:\.\d+)?(?:e[-−]\d+)?)(%|¢)?(?!\w)")
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Sections(HTMLParser):
    """The texts of every section, a table row or a paragraph each."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[str]] = defaultdict(list)
        self.at, self.silent, self.text = "", 0, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.silent += tag in {"script", "style"}
        if tag in {"p", "tr", "li", "h2", "h3", "div", "dd", "dt", "option"}:
            self._end()
        if tag == "section":
            self.at = str(given["id"])
        if given.get("title"):
            self.found[self.at].append(str(given["title"]))
        self.text += " "

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in {"script", "style"}
        if tag in {"p", "tr", "li", "h2", "h3", "div", "dd", "dt", "option"}:
            self._end()
        if tag == "section":
            self.at = ""

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.text += data

    def _end(self) -> None:
        if self.text.strip():
            self.found[self.at].append(" ".join(self.text.split()))
        self.text = ""


# --- what each section may say ---


def metrics(scores: Any) -> Iterator[float]:
    """Values, interval ends, sizes of clusters."""
    for entry in json.loads(metrics_text(scores)).values():
        if entry["value"] is not None:
            yield float(entry["value"]) / (100 if entry["unit"] == "percent" else 1)
        if interval := entry.get("interval"):
            yield from (float(interval[end]) for end in ("low", "high", "level", "n_clusters"))
            if entry["unit"] == "fraction":  # told without the sign of percent
                yield from (100 * float(interval[end]) for end in ("low", "high"))


def groups(run: Run, key: Callable[[dict[str, Any]], Any]) -> Iterator[float]:
    """Trades, share won, P&L of every group, and of what the eighth and later groups sum to."""
    trades = run.trades_closed.join(run.context, on="trade_id", how="left")
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for trade in trades.iter_rows(named=True):
        found[key(trade)].append(trade)
    ranked = sorted(found, key=lambda name: (-len(found[name]), str(name)))
    rest = [trade for name in ranked[7:] for trade in found[name]]
    for some in [*found.values(), rest]:
        decided = [t for t in some if t["pnl"] != 0]
        yield len(some)
        yield sum(t["pnl"] for t in some) / 1e6
        if decided:
            yield sum(t["pnl"] > 0 for t in decided) / len(decided)
    yield max(0, len(found) - 7)


def chances(run: Run) -> Iterator[float]:
    """P among all groups that were looked at."""
    yield from run.tables["groups"]["q"].drop_nulls()


def of_prices(run: Run) -> Iterator[float]:
    yield from chances(run)
    yield from groups(run, lambda t: min(9, int(round(t["entry_price"] * 100, 4) // 10)))
    trades = run.trades_closed.join(run.context, on="trade_id", how="left")
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for trade in trades.iter_rows(named=True):
        found[min(9, int(round(trade["entry_price"] * 100, 4) // 10))].append(trade)
    for some in found.values():
        size = [t["quantity"] for t in some]
        yield 100 * sum(t["entry_price"] * q for t, q in zip(some, size, strict=True)) / sum(size)
        told = [t for t in some if t["expected"] is not None]
        if held := sum(t["quantity"] for t in told):
            yield 100 * sum(t["expected"] * t["quantity"] for t in told) / held
            yield 100 * sum(t["pnl"] / 1e4 for t in told) / held


def of_assumptions(run: Run) -> Iterator[float]:
    rows = run.sensitivity.to_dicts()
    base = next(row for row in rows if row["case"] == "base")["net_pnl"]
    yield from (sum(row["net_pnl"] > 0 for row in rows), len(rows))
    for row in rows:
        yield from (row[name] / 1e6 for name in ("net_pnl", "fees", "max_drawdown"))
        yield (row["net_pnl"] - base) / 1e6
        yield row["trades"]
        yield from (row["contracts"] / 100, row["win_rate"] or 0.0)


def of_days(run: Run) -> Iterator[float]:
    last, cash = {}, float(run.scores["initial_cash"]["value"])
    for time, equity in run.equity.select("time", "equity").iter_rows():
        last[(time - timedelta(microseconds=1)).date()] = equity / 1e6
    first, end = min(last), max(last)
    levels = [last.get(day) for day in pl.date_range(first, end, eager=True)]
    gains = []
    for level in levels:
        gains.append(0.0 if level is None else level - cash)
        cash = cash if level is None else level
    yield from (len(gains), sum(g > 0 for g in gains), sum(g < 0 for g in gains))
    yield from (max(gains), min(gains))
    for fall in run.tables["drawdowns"].to_dicts():
        yield from (-fall["depth"] / 1e6, (fall["depth_pct"] or 0) / 100)


def of_calibration(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    for row in run.tables["reliability"].to_dicts():
        yield from (row["mean_forecast"], row["hit_rate"], row["n"], row["n_clusters"])
        yield from (100 * row["cluster_low"], 100 * row["cluster_high"])
    brier: dict[str, list[float]] = defaultdict(list)
    for row in run.tables["forecast_scores"].to_dicts():
        brier[row["point"]].append(row["brier"])
        yield from (row["n"], row["n_clusters"], row["scalar"], row["brier"])
    yield from (abs(pair[0] - pair[-1]) for pair in brier.values())


def of_costs(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    trades = run.trades_closed.join(run.context, on="trade_id", how="left").to_dicts()
    known = [t for t in trades if t["gross_mid"] is not None]
    yield sum(t["gross_mid"] for t in known)
    yield from (-sum(t[name] for t in known) for name in ("spread", "slippage"))
    gross = sum(t["gross_pnl"] for t in trades) / 1e6
    yield from (gross, gross - sum(t["gross_pnl"] for t in known) / 1e6, len(trades) - len(known))
    yield -sum(t["fees"] for t in trades) / 1e6


def of_fills(run: Run) -> Iterator[float]:
    orders = run.orders.to_dicts()
    for status in {order["status"] for order in orders}:
        count = sum(order["status"] == status for order in orders)
        yield from (count, count / len(orders))
        for why in {order["reason"] for order in orders}:
            yield sum((order["status"], order["reason"]) == (status, why) for order in orders)
    yield len(orders)
    for why in {order["reason"] for order in orders}:
        yield sum(o["reason"] == why and o["status"] != "rejected" for o in orders)
    rows = quality_of_fills(run)
    for role in rows["role"].unique():
        yield (rows["role"] == role).sum()
        for name in rows.columns:
            if rows[name].dtype == pl.Float64 and name != "contracts":
                found = mean_by_event(rows.filter(pl.col("role") == role), name)
                yield from (found["fills"], found["events"])
                ends = (found[end] for end in ("mean", "low", "high"))
                yield from (100 * end for end in ends if end is not None)


def of_collateral(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    path = run.equity.select("locked", "equity").rows()
    yield max(locked / equity for locked, equity in path)
    for why in run.orders["reason"].unique():
        some = run.orders.filter(pl.col("reason").eq_missing(why)).to_dicts()
        yield sum(order["status"] == "rejected" for order in some)
        cut = [o["wanted"] - o["quantity"] for o in some if o["status"] != "rejected"]
        yield from (sum(c > 0 for c in cut), sum(cut) / 100)


def of_uncertainty(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    rows = run.tables["groups"].to_dicts()
    for row in rows:
        yield from (row["n"], row["n_clusters"], row["pnl"] / 1e6)
        yield from (row[name] for name in ("p", "q") if row[name] is not None)
    tested = [row["q"] for row in rows if row["q"] is not None]
    yield from (len(tested), sum(q <= 0.05 for q in tested), len(rows) - len(tested))
    drawn = run.tables["controls"]
    own = sum(run.trades_closed["pnl"])
    yield drawn.height
    yield from (sum(own > luck for luck in drawn[name]) for name in drawn.columns[1:])
    yield from (number for number, _ in enumerate(run.trials, 1))
    for trial in run.trials:
        yield from (trial["sharpe"], trial["days"])


def of_run(run: Run) -> Iterator[float]:
    for scores in (run.scores, *run.bands.values()):
        yield from metrics(scores)
    yield from run.quarantine["count"]
    numbers = (re.fullmatch(r"[\d.]+", str(value)) for value in run.config.values())
    yield from (float(number[0]) for number in numbers if number and number[0].count(".") < 2)
    yield from (0.1, 2.1)  # versions, cut after the second part


def of_headline(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    yield from (float(scores["net_pnl"]["value"]) for scores in run.bands.values())


def of_breakdown(run: Run) -> Iterator[float]:
    yield from metrics(run.scores)
    yield from chances(run)
    for name in ("category", "series", "side", "exit_reason", "event"):
        yield from groups(run, lambda trade, name=name: trade[name])  # type: ignore[misc]


def of_timing(run: Run) -> Iterator[float]:
    new_york = ZoneInfo("America/New_York")
    yield from range(24)
    yield from chances(run)
    yield from groups(run, lambda trade: trade["entry_time"].astimezone(new_york).hour)
    limits = (300, 900, 3_600, 21_600, 86_400, 604_800)

    def left(trade: dict[str, Any]) -> int | None:
        if trade["close_time"] is None or trade["decided"] is None:
            return None
        return sum((trade["close_time"] - trade["decided"]).total_seconds() >= s for s in limits)

    yield from groups(run, left)


def of_trades(run: Run) -> Iterator[float]:
    yield from (run.fills["ticker"].n_unique(), run.trades_closed.height, 50)
    for trade in run.trades_closed.to_dicts():
        yield from (trade["pnl"] / 1e6, trade["quantity"] / 100)
        yield from (100 * trade["entry_price"], 100 * trade["exit_price"])


MAY: dict[str, Callable[[Run], Iterator[float]]] = {
    "headline": of_headline,
    "assumptions": of_assumptions,
    "equity": lambda run: metrics(run.scores),
    "calendar": of_days,
    "calibration": of_calibration,
    "prices": of_prices,
    "breakdown": of_breakdown,
    "timing": of_timing,
    "costs": of_costs,
    "fills": of_fills,
    "collateral": of_collateral,
    "uncertainty": of_uncertainty,
    "trades": of_trades,
    "run": of_run,
}


# --- what it says ---


def said(text: str) -> Iterator[tuple[str, float, float]]:
    """Numbers of a text: as written, in dollars, shares, cents or seconds, and half a digit."""
    for found in SPAN.finditer(text):
        parts = re.findall(r"(\d+)([dhms])", found[0])
        yield found[0], sum(int(n) * SECONDS[u] for n, u in parts), SECONDS[parts[-1][1]]
    for found in NUMBER.finditer(SPAN.sub(" ", text)):
        sign, digits, unit = (part and part.replace("−", "-") for part in found.groups())
        value = float(digits.replace(",", "")) * (-1 if sign == "-" else 1)
        decimals = len(digits.partition(".")[2].partition("e")[0])
        power = float(f"1e{digits.partition('e')[2] or 0}")
        share = 100 if unit == "%" else 1
        yield found[0], value / share, 0.5000001 * 10.0**-decimals * power / share


def own_words(run: Run) -> list[str]:
    """Texts that the run brought along, with whatever numbers they have."""
    methods = [e["interval"]["method"] for e in run.scores.values() if e.get("interval")]
    texts = [run.strategy, run.dataset, run.run_id, run.command, *run.title_lines, *run.notes]
    texts += [*run.metric_docs.values(), *methods, *map(str, run.config.values())]
    texts += [word for row in run.assumptions for word in row]
    texts += [*run.sensitivity["what"], *(str(t["run_id"]) for t in run.trials)]
    texts += [f"{by} {group}" for by, group in run.tables["groups"].select("by", "group").rows()]
    texts += [*run.trades_closed["event"], *run.trades_closed["ticker"], "research/fill_model.py"]
    reasons = [e.get("reason") or "" for e in run.scores.values()]
    told = {text for text in [*texts, *reasons] if re.search(r"\d", text)}
    return [rf"(?<!\w){re.escape(t)}(?!\w)" for t in sorted(told, key=len, reverse=True)
            if re.search("[a-zA-Z]", t)]  # fmt: skip


def times_of(run: Run) -> set[str]:
    """Every time of the tables that are told by the minute, and every day."""
    times = [t for column in run.tables["drawdowns"].iter_columns() if column.dtype.is_temporal()
             for t in column if t is not None]  # fmt: skip
    minutes = {f"{time:%Y-%m-%d %H:%M}" for time in times}
    minutes |= {f"{time:%Y-%m-%d %H:%M}" for time in run.trades_closed["entry_time"]}
    return minutes | {f"{day:%Y-%m-%d}" for day in run.equity["time"]}


@pytest.fixture(scope="module")
def page(full_run: Run) -> str:
    """The page without its library, which has numbers of its own."""
    head, _, rest = render_html(full_run).partition('<script type="text/plain" id="plotly">')
    return head + rest.partition("</script>")[2]


def test_every_number_of_the_page_is_in_the_metrics_or_a_table(page: str, full_run: Run) -> None:
    sections = Sections(page).found
    del sections[""]
    assert set(sections) == set(MAY)
    own, times = own_words(full_run), times_of(full_run)
    spans = [float(e["value"]) for e in full_run.scores.values() if e.get("unit") == "seconds"]
    spans += [days * 86_400 for days in full_run.tables["drawdowns"]["days"]]
    looked_up, invented = 0, []
    for name, texts in sections.items():
        may = [*MAY[name](full_run), *spans]
        for told in texts:
            text = told
            for words in (*own, *FIXED):
                text = re.sub(words, " ", text)
            for time in TIME.findall(text):
                assert time in times, (name, told)
            for number, value, half in said(TIME.sub(" ", text)):
                looked_up += 1
                if not any(abs(value - one) <= half for one in may):
                    invented.append((name, number, told))
    assert not invented
    assert looked_up > 900


@pytest.mark.parametrize("wrong", ["$213.74", "−$213.72", "2.15%", "40.2 days"])
def test_a_number_that_is_nowhere_is_noticed(full_run: Run, wrong: str) -> None:
    may = list(metrics(full_run.scores))
    for _, value, half in said(wrong):
        assert not any(abs(value - one) <= half for one in may)


def test_every_number_of_a_figure_is_in_a_table(page: str, full_run: Run) -> None:
    island = json.loads(page.partition('id="island">')[2].partition("</script>")[0])
    figures = island["figures"]
    columns = {
        plot: {name: unpacked(column) for name, column in figure["columns"].items()}
        for plot, figure in figures.items()
    }
    path = columns["plot-equity"]
    known: dict[float, list[tuple[float, float, float]]] = defaultdict(list)
    for time, equity, locked in full_run.equity.select("time", "equity", "locked").iter_rows():
        known[time.timestamp() * 1_000].append((equity / 1e6, locked / 1e6, 100 * locked / equity))
    drawn = set(zip(path["time"], path["equity"], path["locked"], strict=True))
    assert len(drawn) > 50
    for time, *levels in drawn:
        assert any(levels == pytest.approx(row[:2], abs=0.0051) for row in known[time])
    for time, share in zip(*columns["plot-locked"].values(), strict=True):
        assert any(share == pytest.approx(row[2], abs=0.0051) for row in known[time])
    told = {
        "plot-calendar": [v for row in figures["plot-calendar"]["data"][0]["z"] for v in row],
        "plot-hours": columns["plot-hours"]["pnl"],
        "plot-left": columns["plot-left"]["pnl"],
    }
    hours: dict[int, float] = defaultdict(float)
    for entry, pnl in full_run.trades_closed.select("entry_time", "pnl").iter_rows():
        hours[entry.astimezone(ZoneInfo("America/New_York")).hour] += pnl / 1e6
    assert told["plot-hours"] == pytest.approx([hours[hour] for hour in range(24)], abs=0.0051)
    total = full_run.trades_closed["pnl"].sum() / 1e6
    assert sum(told["plot-left"]) == pytest.approx(total, abs=0.05)
    assert sum(v for v in told["plot-calendar"] if v is not None) == pytest.approx(total, abs=0.01)
    wealth = full_run.tables["evidence"]["wealth"]
    for value in figures["plot-evidence"]["data"][0]["y"]:
        assert any(value == pytest.approx(one, rel=1e-3) for one in wealth)
