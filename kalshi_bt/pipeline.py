"""The stages of one backtest, wired: dataset, panel, signal, sizing, simulator, metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel, determinations, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.fees import market_rates
from kalshi_bt.forecasting import faults_named, forecasts, learn, references, timed, weighed
from kalshi_bt.lookahead.audit import not_asked, of_a_run
from kalshi_bt.lookahead.finding import Verdict
from kalshi_bt.metrics import Score, score
from kalshi_bt.metrics.book import Book
from kalshi_bt.plan import Plan, fill_model
from kalshi_bt.simulator.assumptions import BAND
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape, prepare
from kalshi_bt.units import SECOND, parse_duration


@dataclass(frozen=True)
class Outcome:
    """One walk under one fill model, with all that follows from its fills."""

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades_closed: pl.DataFrame
    equity: pl.DataFrame
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Backtest:
    """What a run computed, before anything is written.

    Attributes
    ----------
    panel : Panel
    base : Outcome
        Under the chosen fill model.
    band : mapping
        The same intents under the optimistic, base and pessimistic models.
    settlements : frame of schema.SETTLEMENTS
        Of the markets of the panel.
    intents : frame of schema.INTENTS
    quarantine : frame (reason, count)
        Rows of the dataset that were set aside.
    audit : Verdict
        Of the audit for look-ahead.
    notes : tuple of str
    """

    panel: Panel
    base: Outcome
    band: Mapping[str, Outcome]
    settlements: pl.DataFrame
    intents: pl.DataFrame
    quarantine: pl.DataFrame
    audit: Verdict
    notes: tuple[str, ...]


def _walk(
    tape: Tape, intents: pl.DataFrame, plan: Plan, model: str, quarantined: int, period: int
) -> Outcome:
    fill = fill_model(model, plan.config.assumptions)
    rules = replace(plan.rules, fill=fill, bar=period * SECOND)
    run: Simulation = simulate(tape, intents, rules)
    trades = closed_trades(tape, run)
    curve: Curve = equity_curve(tape, run, rules.cash)
    book = Book(
        orders=run.orders,
        fills=run.fills,
        trades_closed=trades,
        equity=curve.equity,
        initial_cash=rules.cash,
        quarantined_rows=quarantined,
        unsettled=curve.unsettled,
        unsettled_value=curve.unsettled_value,
        determined=curve.determined,
    )
    scores = score(book, intervals=model == plan.config.fills)
    return Outcome(run.orders, run.fills, trades, curve.equity, scores)


def compute(store: Store, plan: Plan) -> Backtest:
    """Return the backtest of a plan on a dataset; reads, computes, writes nothing.

    Raises
    ------
    DataError
        If the dataset cannot be used as it is.
    UsageError
        If a series or bar length is not in it.
    """
    made = panel(
        store,
        period=plan.period,
        series=plan.config.series,
        start=plan.config.start,
        end=plan.config.end,
        half_spread=plan.half_spread,
        references=references(plan.signal),
        quotes=plan.config.assumptions.quotes,
        quote_max_age=timedelta(microseconds=parse_duration(plan.config.assumptions.quote_max_age)),
    )
    settlements = outcomes(store, made.markets, plan.config.end)
    rates = market_rates(made.markets, store.read("series"), store.read("event_fees"))
    said = determinations(store, made.markets, plan.config.end)
    tape = prepare(made.bars, made.markets, settlements, rates, determinations=said)
    learned = learn(made, plan, settlements)
    setups, fits = forecasts(made, plan, settlements, learned)
    asked = plan.config.assumptions.audit
    audit = of_a_run(made, plan, learned, setups) if asked else not_asked(made)
    with faults_named(plan, "what it sizes"):
        intents = schema.INTENTS.check(plan.sizing(weighed(setups, rates)).collect())
    quarantine = _quarantined(store)
    lost = int(quarantine["count"].sum())
    models = dict.fromkeys((plan.config.fills, *BAND))
    tapes = dict.fromkeys(models, tape)
    if fill_model(plan.config.fills, plan.config.assumptions).book:
        tapes[plan.config.fills] = _recorded(store, made, settlements, rates, said)
    outcome = {m: _walk(tapes[m], intents, plan, m, lost, made.period) for m in models}
    return Backtest(
        panel=made,
        base=outcome[plan.config.fills],
        band={m: outcome[m] for m in BAND},
        settlements=settlements,
        intents=intents,
        quarantine=quarantine,
        audit=audit,
        notes=(  # why nothing trades comes first: a summary shows the first few
            *_untradable(intents, plan),
            *_silent(made, intents, plan),
            *made.notes,
            *fits,
            *_notes(made, plan),
            *_remarks(made, plan),
            *_left_open(outcome[plan.config.fills]),
        ),
    )


def _recorded(
    store: Store, made: Panel, settlements: pl.DataFrame, rates: pl.DataFrame, said: pl.DataFrame
) -> Tape:
    """Return the tape of the books recorded while the panel's bars lasted."""
    first, last = made.bars.select(a=pl.col("time").min(), b=pl.col("time").max()).row(0)
    books = store.scan("books", end=last).collect()
    if books.is_empty():
        raise DataError(f"{store.name} has no recorded books; --fills book needs them")
    trades = store.scan("trades", start=first, end=last).collect()
    return prepare_books(books, trades, made.markets, settlements, rates, determinations=said)


def _left_open(base: Outcome) -> list[str]:
    """Say how many positions were still open, of which kind, and what that does to a limit."""
    count, determined = (int(base.scores[n].value or 0) for n in ("unsettled", "determined"))
    if not count:
        return []
    told = f"{count} positions were never settled in this data and kept their place to the end"
    if determined:
        told += f": {determined} with a result that was determined and not paid, "
        told += f"{count - determined} without one"
    return [told]


def _silent(made: Panel, intents: pl.DataFrame, plan: Plan) -> list[str]:
    """Say that a signal saw nothing to trade, and why if these bars could never show it any."""
    if not intents.is_empty():
        return []
    longest = int(made.bars.group_by("market").len()["len"].max() or 0)  # type: ignore[arg-type]
    own = getattr(plan.signal, "on", "price") == "price"
    needed = getattr(plan.signal, "period", 0) if own else 0
    text = f"the signal saw no set-up in {made.bars.height:,} bars"
    if longest < needed:
        text += f": it needs {needed} bars of one market and the longest has {longest}"
    elif getattr(plan.signal, "width", 0) ** 2 >= needed - 1 > 0:
        text += f": no close is that far from the mean of {needed} closes it is one of"
    return [text]


def _untradable(intents: pl.DataFrame, plan: Plan) -> list[str]:
    """Say why a signal as it is documented cannot trade, if it cannot."""
    why = getattr(plan.signal, "untradable", None)
    if why is None or intents.is_empty():
        return []
    return [f"the documented levels cannot be traded: all {intents.height:,} set-ups {why}"]


def _remarks(made: Panel, plan: Plan) -> tuple[str, ...]:
    """Return what the signal itself has to say of these quotes."""
    remarks = getattr(plan.signal, "remarks", None)
    found: tuple[str, ...] = () if remarks is None else remarks(made.quotes())
    return found


def _quarantined(store: Store) -> pl.DataFrame:
    frame = store.scan("quarantine").group_by("reason").agg(count=pl.len()).collect()
    return frame.sort(["count", "reason"], descending=[True, False])


def _notes(made: Panel, plan: Plan) -> list[str]:
    """Return what a reader must know about the universe and the chosen model."""
    notes = []
    unknown = made.bars["volume"].null_count()
    if unknown:
        contracts = plan.config.assumptions.assumed_volume
        notes.append(
            f"{unknown:,} of {made.bars.height:,} bars have no recorded volume: "
            f"{contracts} contracts are assumed in each"
        )
    if plan.handed_over:
        notes.append(
            "the signal was handed over as an object: this run is named after its code and its "
            "parameters, not after what that code calls"
        )
    if plan.config.fills == "naive":
        notes.append(
            "naive fills: whole size at the decision price without fees; nobody offered these fills"
        )
    if plan.config.fills == "passive" and getattr(plan.sizing, "valid_bars", 2) < 2:
        notes.append(
            "a passive order never fills on the bar it was placed in, and these live for one bar: "
            "set valid_bars to 2 or more"
        )
    return notes


def market_bars(done: Backtest, plan: Plan, tickers: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return what the chart of each market shows, in dollars.

    Returns
    -------
    dict of frame
        time, bid, ask, close (null without a trade), and the signal's bands where it has some.
    """
    numbers = done.panel.markets["ticker"].is_in(list(tickers)).arg_true()
    bars = done.panel.bars.filter(pl.col("market").is_in(numbers.implode()))
    quotes = replace(done.panel, bars=bars).quotes()
    columns = ["ticker", "time", "bid", "ask", "close"]
    overlay = plan.chosen.overlay
    if overlay is not None:
        quotes = overlay(quotes, timed(plan.signal, done.panel.period))
        columns += ["band_lower", "band_upper"]
    frame = quotes.select(columns).with_columns(pl.col("ticker").cast(pl.String)).collect()
    parts = frame.partition_by("ticker", as_dict=True, include_key=False)
    return {ticker: parts[ticker,] for ticker in tickers}
