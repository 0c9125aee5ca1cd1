"""The life of markets as the stream tells it: made, opened, closed, determined, settled.

Nothing is told before it is known: strikes when a market opens, a close that comes early or late
when it comes, a result when it was said. Disputes are not told, as on the exchange.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from kalshi_bt.data.store import Store
from kalshi_bt.units import PRICE_SCALE
from live_adapter.exchange import wire
from live_adapter.exchange.archive import COMBO, EPOCH, LISTED_BEFORE
from live_adapter.exchange.frames import LIFE
from live_adapter.exchange.happenings import Told
from live_adapter.exchange.wire import EXPECTED_AFTER, LATEST_AFTER, Json, Row

_MICROSECOND = timedelta(microseconds=1)

_METADATA = (
    ("strike_type", "strike_type"),
    ("floor_strike", "floor_strike"),
    ("cap_strike", "cap_strike"),
    ("yes_sub_title", "subtitle"),
)


class Step(NamedTuple):
    """A step: when, in which order at that time, what, of which market or event, and more of it."""

    time: int
    rank: int
    subject: str
    kind: str
    value: int | None = None


# In the order in which they are told at one moment.
_KINDS = (
    "event_lifecycle", "created", "activated", "metadata_updated", "close_date_updated",
    "deactivated", "determined", "settled", "event_fee_update",
)  # fmt: skip


class Lives:
    """The steps in the lives of a dataset's markets.

    Parameters
    ----------
    store : Store
        Its markets, settlements, revisions, determinations and fees of events; combos have a
        channel of their own and are left out.
    """

    def __init__(self, store: Store) -> None:
        markets = store.read("markets").filter(~pl.col("ticker").str.starts_with(COMBO))
        self._markets = {row["ticker"]: row for row in markets.iter_rows(named=True)}
        self._events = {row["event"]: row for row in self._markets.values()}
        fees = store.read("event_fees")
        self._fees = {
            (row["event"], micros(row["effective_from"])): row for row in fees.iter_rows(named=True)
        }
        settled = store.read("settlements")
        self.ends = dict(settled.select("ticker", "close_time").iter_rows())
        steps = [*self._listed(), *self._ended(), *self._results(store, settled)]
        steps += [_step(time, "event_fee_update", event) for event, time in self._fees]
        self._steps = sorted(steps)

    def after(self, now: int) -> Iterator[Told]:
        """Return the news after a moment, in the order of time."""
        for step in self._steps:
            if step.time > now:
                yield self._told(step)

    def span(self, ticker: str) -> tuple[int | None, int | None]:
        """Return when a market opens and when its trading ends, as far as that is known."""
        row = self._markets.get(ticker)
        if row is None:
            return None, None
        end = self.ends.get(ticker) or row["close_time"]
        opened = row["open_time"]
        return (opened and micros(opened)), (end and micros(end))

    def _listed(self) -> Iterator[Step]:
        """Yield when markets and events are made, and when markets open."""
        first: dict[str, int] = {}
        for ticker, row in self._markets.items():
            if row["open_time"] is None:
                continue
            opened = micros(row["open_time"])
            made = micros(row["open_time"] - LISTED_BEFORE)
            first[row["event"]] = min(made, first.get(row["event"], made))
            yield _step(made, "created", ticker)
            yield _step(opened, "activated", ticker)
            if any(row[name] is not None for name in ("strike_type", "subtitle")):
                yield _step(opened, "metadata_updated", ticker)
        for event, time in first.items():
            yield _step(time, "event_lifecycle", event)

    def _ended(self) -> Iterator[Step]:
        """Yield when markets close, and when another close than the scheduled one is told."""
        for ticker, row in self._markets.items():
            scheduled, end = row["close_time"], self.ends.get(ticker)
            if end is None:
                end = scheduled
            elif end != scheduled:
                if scheduled is not None and end > scheduled:
                    later = scheduled + LATEST_AFTER
                    yield _step(micros(scheduled), "close_date_updated", ticker, _seconds(later))
                yield _step(micros(end), "close_date_updated", ticker, _seconds(end))
            if end is not None:
                yield _step(micros(end), "deactivated", ticker)

    def _results(self, store: Store, settled: pl.DataFrame) -> Iterator[Step]:
        """Yield what was said of results; a payout that was not said before is determined first."""
        paid = [store.read("revisions"), settled]
        said = [frame.select("ticker", "time", "payout", final=pl.lit(True)) for frame in paid]
        states = store.read("determinations").filter(pl.col("status") != "disputed")
        final = pl.col("status") == "finalized"
        said.append(states.select("ticker", "time", "payout", final=final))
        rows = pl.concat(said).unique().sort("ticker", "time", "final")
        ticker_before, before = None, None
        for ticker, time, payout, is_final in rows.iter_rows():
            if ticker not in self._markets:
                continue
            if (ticker, payout) != (ticker_before, before):
                yield _step(micros(time), "determined", ticker, payout)
            if is_final:
                yield _step(micros(time), "settled", ticker)
            ticker_before, before = ticker, payout

    def _told(self, step: Step) -> Told:
        if step.kind == "event_lifecycle":
            return Told(step.time, step.kind, _event(self._events[step.subject]))
        if step.kind == "event_fee_update":
            row = self._fees[step.subject, step.time]
            change = wire.event_fee_change({**row, "series": ""})
            names = ("event_ticker", "fee_type_override", "fee_multiplier_override")
            return Told(step.time, step.kind, {name: change[name] for name in names})
        more = _more(self._markets[step.subject], step)
        msg = {"event_type": step.kind, "market_ticker": step.subject, **more}
        return Told(step.time, LIFE, msg)


def micros(time: datetime) -> int:
    """Return a time in microseconds since 1970."""
    return (time - EPOCH) // _MICROSECOND


def _seconds(time: datetime) -> int:
    return -(-micros(time) // 1_000_000)


def _step(time: int, kind: str, subject: str, value: int | None = None) -> Step:
    return Step(time, _KINDS.index(kind), subject, kind, value)


def _event(row: Row) -> Json:
    """Return the body that tells of an event, from one of its markets."""
    return {
        "event_ticker": row["event"],
        "exchange_index": 0,
        "title": "",
        "subtitle": "",
        "collateral_return_type": "MECNET" if row["mutually_exclusive"] else "",
        "series_ticker": row["series"],
    }


def _more(row: Row, step: Step) -> Json:
    """Return what a step says besides its kind and market."""
    stamp = -(-step.time // 1_000_000)
    if step.kind == "created":
        return _created(row)
    if step.kind == "metadata_updated":
        return {name: row[stored] for name, stored in _METADATA if row[stored] is not None}
    if step.kind == "determined":
        result = {PRICE_SCALE: "yes", 0: "no"}.get(step.value or 0, "scalar")
        value = wire.price(step.value)
        return {"result": result, "settlement_value": value, "determination_ts": stamp}
    plain: dict[str, Json] = {
        "close_date_updated": {"close_ts": step.value},
        "deactivated": {"is_deactivated": True},
        "settled": {"settled_ts": stamp},
    }
    return plain.get(step.kind, {})


def _created(row: Row) -> Json:
    """Return what is told of a market when it is made; what is known at its opening comes then."""
    grid = wire.grid(row["price_ranges"])
    if grid["price_level_structure"] == "custom":
        del grid["price_level_structure"]
    close = row["close_time"]
    more: Json = {
        "name": "",
        "title": row["title"] or "",
        "yes_sub_title": "",
        "no_sub_title": "",
        "rules_primary": "",
        "rules_secondary": "",
        "can_close_early": bool(row["can_close_early"]),
        "event_ticker": row["event"],
    }
    made: Json = {"exchange_index": 0, "open_ts": _seconds(row["open_time"]), **grid}
    if close is not None:
        made["close_ts"] = _seconds(close)
        more["expected_expiration_ts"] = _seconds(close + EXPECTED_AFTER)
    return made | {"additional_metadata": more}
