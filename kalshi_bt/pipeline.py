"""The stages of one backtest, wired: dataset, panel, signal, sizing, simulator, metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import polars as pl

from kalshi_bt import schema
from kalshi_bt.controls import controls
from kalshi_bt.data.depth import recorded
from kalshi_bt.data.panel import Panel, determinations, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.decisions import decisions
from kalshi_bt.fees import market_rates
from kalshi_bt.fill_quality import fill_quality
from kalshi_bt.forecasting import Past, faults_named, forecasts, learn, references, timed, weighed
from kalshi_bt.lookahead.audit import not_asked, of_a_run
from kalshi_bt.lookahead.finding import Verdict
from kalshi_bt.metrics import Score, score, tables
from kalshi_bt.metrics.book import Book
from kalshi_bt.opinions import opinions
from kalshi_bt.past import begun
from kalshi_bt.plan import Plan, fill_model
from kalshi_bt.quoted import Facts, Quoted
from kalshi_bt.run_schema import CONTEXT, CONTROLS, FILL_QUALITY, FORECASTS, SENSITIVITY
from kalshi_bt.sensitivity import sensitivity
from kalshi_bt.simulator.assumptions import BAND
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.tape import Tape, prepare
from kalshi_bt.trade_context import trade_context
from kalshi_bt.trial_days import TABLE, days_of, side_by_side
from kalshi_bt.trials import Trial, Tried, alone
from kalshi_bt.units import SECOND, parse_duration
from kalshi_bt.walks import Walk, walk


@dataclass(frozen=True)
class Outcome:
    """One walk under one fill model, with all that follows from its fills."""

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades_closed: pl.DataFrame
    equity: pl.DataFrame
    scores: Mapping[str, Score]
    trials: tuple[Trial, ...] = ()
    context: pl.DataFrame = field(default_factory=CONTEXT.empty)
    fill_quality: pl.DataFrame = field(default_factory=FILL_QUALITY.empty)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # behind the scores


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
    forecasts, sensitivity : frames of run_schema of the same name
    """

    panel: Panel
    base: Outcome
    band: Mapping[str, Outcome]
    settlements: pl.DataFrame
    intents: pl.DataFrame
    quarantine: pl.DataFrame
    audit: Verdict
    notes: tuple[str, ...]
    forecasts: pl.DataFrame = field(default_factory=FORECASTS.empty)
    sensitivity: pl.DataFrame = field(default_factory=SENSITIVITY.empty)


def _walk(tape: Tape, intents: pl.DataFrame, plan: Plan, model: str, period: int) -> Walk:
    fill = fill_model(model, plan.config.assumptions)
    return walk(tape, intents, replace(plan.rules, fill=fill, bar=period * SECOND))


def _outcome(
    done: Walk,
    quoted: Quoted,
    facts: Facts,
    opinion: pl.DataFrame,
    quarantined: int,
    tried: Tried,
    luck: pl.DataFrame | None,
) -> Outcome:
    """Return what a walk is judged by; of the chosen one with intervals and what is behind them.

    The chosen one comes with its runs of luck.
    """
    chosen = luck is not None
    run, curve = done.run, done.curve
    decided = decisions(quoted, run.intents, run.fills)
    book = Book(
        orders=run.orders,
        fills=run.fills,
        trades_closed=done.trades,
        equity=curve.equity,
        initial_cash=done.rules.cash,
        quarantined_rows=quarantined,
        unsettled=curve.unsettled,
        unsettled_value=curve.unsettled_value,
        determined=curve.determined,
        forecasts=opinion,
        context=trade_context(facts, run.intents, decided, done.trades),
        fill_quality=fill_quality(quoted, facts, decided),
        controls=CONTROLS.empty() if luck is None else luck,
    )
    trials = tuple(tried(book))
    book = replace(
        book,
        trials=[trial.sharpe for trial in trials],
        trial_days=[trial.daily for trial in side_by_side(trials)],
    )
    scores = score(book, intervals=chosen)
    return Outcome(
        *(book.orders, book.fills, book.trades_closed, book.equity, scores, trials),
        *(book.context, book.fill_quality),
        tables(book) | {TABLE: days_of(trials)} if chosen else {},
    )


def _changed(walks: Mapping[str, Walk], made: Panel, plan: Plan) -> pl.DataFrame:
    """Return what the intents come to under changed assumptions, if that is asked for."""
    if not plan.config.assumptions.sensitivity:
        return SENSITIVITY.empty()
    return sensitivity(walks[plan.config.fills], walks, made.markets, made.period)


def _luck(base: Walk, tape: Tape, plan: Plan) -> pl.DataFrame:
    """Return runs of luck in place of the closed trades, if they are asked for."""
    if not plan.config.assumptions.controls:
        return CONTROLS.empty()
    return controls(base, tape, plan.config.seed)


def _moved(markets: pl.DataFrame, closes: Mapping[str, datetime]) -> pl.DataFrame:
    """Return the markets of a panel with other closes."""
    if not closes:
        return markets
    moved = pl.DataFrame(
        {"moved": list(closes), "close": list(closes.values())},
        schema={"moved": pl.String, "close": schema.Time},
    )
    ticker = pl.col("ticker").cast(pl.String)
    both = markets.join(moved, left_on=ticker, right_on="moved", how="left", maintain_order="left")
    return both.with_columns(close_time=pl.coalesce("close", "close_time")).select(markets.columns)


def _unpaid(setups: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return the set-ups of markets that were not paid by then: nothing else can be ordered."""
    numbers = markets.select(pl.col("ticker").cast(pl.String)).with_row_index("market")
    paid = numbers.join(settlements.select("ticker", paid="time"), on="ticker")
    dated = setups.join(paid, on="market", how="left", maintain_order="left")
    return dated.filter((pl.col("time") <= pl.col("paid")).fill_null(True)).select(setups.columns)


def compute(
    store: Store,
    plan: Plan,
    tried: Tried = alone,
    *,
    past: Past | None = None,
    closes: Mapping[str, datetime] | None = None,
) -> Backtest:
    """Return the backtest of a plan on a dataset; reads, computes, writes nothing.

    Parameters
    ----------
    store : Store
    plan : Plan
    tried : callable, optional
        Called with the book under each fill model, the chosen one first; returns the trials up to
        this one. Without it, this is the only one.
    past : Past, optional
        What a signal that learns knows at the first bar; what the dataset has from before the
        plan's start by default.
    closes : mapping of ticker to datetime, optional
        When trading in markets that are not paid yet ends for orders, where that was moved since
        they were listed; a signal knows the close that they were listed with.

    Raises
    ------
    DataError
        If the dataset cannot be used as it is.
    UsageError
        If a series or bar length is not in it.
    """
    plan = plan.on(store)
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
    series = store.read("series")
    rates = market_rates(made.markets, series, store.read("event_fees"))
    said = determinations(store, made.markets, plan.config.end)
    traded = _moved(made.markets, closes or {})
    tape = prepare(made.bars, traded, settlements, rates, determinations=said)
    learned = learn(made, plan, settlements, past or begun(store, plan, made))
    setups, fits = forecasts(made, plan, settlements, learned)
    asked = plan.config.assumptions.audit
    audit = of_a_run(made, plan, learned, setups) if asked else not_asked(made)
    with faults_named(plan, "what it sizes"):
        due = _unpaid(setups, made.markets, settlements)
        intents = schema.INTENTS.check(plan.sizing(weighed(due, rates)).collect())
    quarantine = _quarantined(store)
    lost = int(quarantine["count"].sum())
    chosen = plan.config.fills
    tapes = dict.fromkeys((chosen, *BAND), tape)
    if fill_model(chosen, plan.config.assumptions).book:
        books, trades = recorded(store, made, plan.config.start, plan.config.end)
        known = (traded, settlements, rates, said)
        tapes[chosen] = prepare_books(books, trades, *known, bars=made.bars)
    walks = {m: _walk(own, intents, plan, m, made.period) for m, own in tapes.items()}
    quoted, facts = Quoted(tape, made.bars), Facts(made.markets, series, settlements)
    opinion = opinions(quoted, facts, setups, made.period)
    luck = _luck(walks[chosen], tape, plan)
    outcome = {
        m: _outcome(done, quoted, facts, opinion, lost, tried, luck if m == chosen else None)
        for m, done in walks.items()
    }
    return Backtest(
        panel=made,
        base=outcome[chosen],
        band={m: outcome[m] for m in BAND},
        settlements=settlements,
        intents=intents,
        quarantine=quarantine,
        audit=audit,
        notes=_told(made, intents, fits, plan, outcome[chosen]),
        forecasts=opinion,
        sensitivity=_changed(walks, made, plan),
    )


def _told(
    made: Panel, intents: pl.DataFrame, fits: Sequence[str], plan: Plan, base: Outcome
) -> tuple[str, ...]:
    """Return the notes. Why nothing trades comes first: a summary shows the first few."""
    return (
        *_untradable(intents, plan),
        *_silent(made, intents, plan),
        *made.notes,
        *fits,
        *_notes(made, plan),
        *_remarks(made, plan),
        *_left_open(base),
    )


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
    elif _on_spot(plan) and made.markets["strike_type"].null_count() == made.markets.height:
        text += ": no market has a strike, without which the spot says nothing of it"
    return [text]


def _on_spot(plan: Plan) -> bool:
    return "spot" in {need.column for need in getattr(plan.signal, "references", ())}


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
        time, bid, ask, close (null without a trade), the probability stated with an intent, and the
        signal's bands where it has some.
    """
    names = done.panel.markets["ticker"]
    numbers = names.is_in(list(tickers)).arg_true()
    bars = done.panel.bars.filter(pl.col("market").is_in(numbers.implode()))
    quotes = replace(done.panel, bars=bars).quotes()
    columns = ["ticker", "time", "bid", "ask", "close"]
    overlay = plan.chosen.overlay
    if overlay is not None:
        quotes = overlay(quotes, timed(plan.signal, done.panel.period))
        columns += ["band_lower", "band_upper"]
    frame = quotes.select(columns).with_columns(pl.col("ticker").cast(pl.String)).collect()
    stated = done.intents.drop_nulls("fair")
    if not stated.is_empty():
        fair = stated.select("time", "fair", ticker=names.gather(stated["market"]))
        fair = fair.unique(["ticker", "time"], keep="last", maintain_order=True)
        frame = frame.join(fair, on=["ticker", "time"], how="left", maintain_order="left")
    parts = frame.partition_by("ticker", as_dict=True, include_key=False)
    return {ticker: parts[ticker,] for ticker in tickers}
