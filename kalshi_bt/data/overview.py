"""What a dataset holds, in a few numbers."""

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from kalshi_bt.data.store import Store


def info(store: "Store") -> dict[str, Any]:
    """Return what a dataset holds, as plain values that JSON can carry.

    Returns
    -------
    dict
        name, synthetic, note, collateral (whether it is returned), fingerprint; tables (rows and
        bytes); markets, settled and unsettled (counts); start and end (ISO 8601, first and last bar
        or trade; null without any); periods (seconds of a bar to bars); series (markets, bars,
        first, last, share of bars with a bid and an ask at their end; null without bars);
        quarantined (table, then reason, to rows).
    """
    markets, candles = (
        store.read("markets", ["ticker", "series"]),
        store.scan("candles", ordered=False),
    )
    settled = markets.join(store.read("settlements"), on="ticker", how="semi").height
    start, end = store.span("candles", "trades")
    periods = candles.group_by("period").len().sort("period").collect().rows()
    lost: dict[str, dict[str, int]] = {}
    reasons = store.read("quarantine").group_by("table", "reason").len().sort("table", "reason")
    for table, reason, rows in reasons.rows():
        lost.setdefault(table, {})[reason] = rows
    return {
        "name": store.name,
        "synthetic": store.synthetic,
        "note": store.note,
        "collateral": store.collateral,
        "fingerprint": store.fingerprint(),
        "tables": {t: {"rows": r, "bytes": b} for t, (r, b) in store.sizes().items()},
        "markets": markets.height,
        "settled": settled,
        "unsettled": markets.height - settled,
        "start": _iso(start),
        "end": _iso(end),
        "periods": {str(period): bars for period, bars in periods},
        "series": _coverage(markets, candles),
        "quarantined": lost,
    }


def _coverage(markets: pl.DataFrame, candles: pl.LazyFrame) -> dict[str, dict[str, Any]]:
    """Return bars, time span and quoted share of each series."""
    quoted = pl.col("bid_close").is_not_null() & pl.col("ask_close").is_not_null()
    bars = candles.group_by("ticker").agg(
        bars=pl.len(), first=pl.col("time").min(), last=pl.col("time").max(), quoted=quoted.sum()
    )
    rows = (
        markets.lazy()
        .join(bars, on="ticker", how="left")
        .group_by("series")
        .agg(
            pl.len().alias("markets"),
            pl.col("bars").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
            pl.col("quoted").sum() / pl.col("bars").sum(),
        )
        .sort("series")
        .collect()
    )
    return {
        row["series"]: {
            "markets": row["markets"],
            "bars": row["bars"],
            "first": _iso(row["first"]),
            "last": _iso(row["last"]),
            "quoted": round(row["quoted"], 6) if row["bars"] else None,
        }
        for row in rows.iter_rows(named=True)
    }


def _iso(time: Any) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")
