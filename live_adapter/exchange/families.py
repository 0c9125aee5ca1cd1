"""Series and events, and the changes of their fees."""

import polars as pl

from live_adapter.exchange import wire
from live_adapter.exchange.archive import Archive
from live_adapter.exchange.asked import Answer, Asked
from live_adapter.exchange.listings import STATES, wired
from live_adapter.exchange.query import not_found, page
from live_adapter.exchange.wire import Json


def _series_now(archive: Archive) -> pl.DataFrame:
    return archive.series().sort("effective_from").unique("series", keep="last").sort("series")


def series_list(asked: Asked) -> Json:
    """Answer all series, in one answer."""
    found, query = _series_now(asked.archive), asked.query
    if (category := query.text("category")) is not None:
        found = found.filter(pl.col("category") == category)
    if query.text("tags") is not None:
        found = found.clear()  # no tags are stored
    if (updated := query.time("min_updated_ts")) is not None:
        found = found.filter(pl.col("effective_from") >= updated)
    return {"series": [wire.series(row) for row in found.iter_rows(named=True)]}


def series(asked: Asked) -> Json:
    """Answer one series."""
    name = asked.names["series"]
    found = _series_now(asked.archive).filter(pl.col("series") == name)
    if not found.height:
        raise not_found(f"series {name}")
    return {"series": wire.series(found.row(0, named=True))}


def series_fee_changes(asked: Asked) -> Json:
    """Answer the log of fees; without history it is empty, for what is to come is not shown."""
    found, name = asked.archive.series(), asked.query.text("series_ticker")
    if name is not None:
        found = found.filter(pl.col("series") == name)
    fees = pl.struct("fee_type", "fee_multiplier")
    changed = (fees != fees.shift(1).over("series")).fill_null(value=True)
    first = pl.int_range(pl.len()).over("series") == 0
    found = found.filter(changed | first) if asked.query.flag("show_historical") else found.clear()
    return {
        "series_fee_change_arr": [wire.series_fee_change(r) for r in found.iter_rows(named=True)]
    }


def event_fee_changes(asked: Asked) -> Json:
    """Answer the log of fee overrides, oldest first."""
    found = asked.archive.event_fees().lazy()
    if (name := asked.query.text("event_ticker")) is not None:
        found = found.filter(pl.col("event") == name)
    key = (("effective_from", False), ("event", False))
    rows, cursor = page(found, key, asked.query, "fee_changes", default=100, most=1000)
    changes = [wire.event_fee_change(row) for row in rows.iter_rows(named=True)]
    return {"event_fee_changes": changes, "cursor": cursor}


def _events(archive: Archive) -> pl.LazyFrame:
    """Return one row an event, with what its markets agree on and the state of any of them."""
    known = _series_now(archive).lazy().select("series", "category", "settlement_sources")
    return (
        archive.markets()
        .lazy()
        .group_by("event")
        .agg(
            pl.col("series", "mutually_exclusive", "combo").first(),
            pl.col("status").unique(),
            pl.col("close", "updated").max(),
        )
        .join(known, on="series", how="left")
    )


def _wired_events(asked: Asked, rows: pl.DataFrame, *, nested: bool) -> list[Json]:
    """Return events, with their live markets inside if wanted."""
    overrides = asked.archive.event_fees().sort("effective_from").unique("event", keep="last")
    fees = {row["event"]: row for row in overrides.iter_rows(named=True)}
    inside: dict[str, list[Json]] = {}
    if nested:
        mine = pl.col("live") & pl.col("event").is_in(rows["event"].to_list())
        for market in wired(asked, asked.archive.markets().filter(mine)):
            inside.setdefault(market["event_ticker"], []).append(market)
    made = []
    for row in rows.iter_rows(named=True):
        event = wire.event(row, fees.get(row["event"]), row["settlement_sources"])
        found = inside.get(row["event"])
        made.append(event | {"markets": found} if found else event)
    return made


def event_list(*, combos: bool) -> Answer:
    """Return the endpoint of the list of events, of combos or of all others."""

    def answer(asked: Asked) -> Json:
        query = asked.query
        wanted = pl.col("combo") if combos else ~pl.col("combo")
        if query.text("collection_ticker") is not None:
            wanted &= pl.lit(False)  # collections are not stored
        if (
            status := query.choice("status", ("unopened", "open", "closed", "settled"))
        ) is not None:
            wanted &= pl.col("status").list.set_intersection(list(STATES[status])).list.len() > 0
        if (name := query.text("series_ticker")) is not None:
            wanted &= pl.col("series") == name
        if tickers := query.listed("tickers"):
            wanted &= pl.col("event").is_in(tickers)
        for parameter, column in (("min_close_ts", "close"), ("min_updated_ts", "updated")):
            if (low := query.time(parameter)) is not None:
                wanted &= pl.col(column) > low
        found, key = _events(asked.archive).filter(wanted), (("event", False),)
        kind, default = ("multivariate", 100) if combos else ("events", 200)
        rows, cursor = page(found, key, query, kind, default=default, most=200)
        events = _wired_events(asked, rows, nested=bool(query.flag("with_nested_markets")))
        milestones: Json = {"milestones": []} if query.flag("with_milestones") else {}
        return {"events": events, **milestones, "cursor": cursor}

    return answer


def event(asked: Asked) -> Json:
    """Answer one event with its live markets, beside it or inside it."""
    name = asked.names["event"]
    rows = _events(asked.archive).filter(pl.col("event") == name).collect()
    if not rows.height:
        raise not_found(f"event {name}")
    (found,) = _wired_events(asked, rows, nested=True)
    markets = found.get("markets", [])
    if not asked.query.flag("with_nested_markets"):
        found.pop("markets", None)
    return {"event": found, "markets": markets}
