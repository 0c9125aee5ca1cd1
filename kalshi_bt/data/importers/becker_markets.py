"""Markets of the layout: what was known at listing, and how they ended.

A row is what the exchange said at the moment of fetching, mostly after the end. Its bid, ask, last
price, volume and open interest are of that moment and are not read. Its close is the one that came,
which is an outcome where markets can close early; the scheduled one is kept apart from it.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from kalshi_bt.data.importers.becker_files import FILE, ROW
from kalshi_bt.data.importers.becker_terms import scheduled, strikes
from kalshi_bt.data.parts import series_of
from kalshi_bt.data.validate import Check, checks, show
from kalshi_bt.schema import MARKETS, SETTLEMENTS, Time
from kalshi_bt.units import PRICE_SCALE, parse_duration

LAG = "24h"  # from the close to the payout, where nothing else is known
# Series that pay within the hour: fifteen-minute and hourly ones, whose ends a feed decides.
FAST_LAG = "1h"
FAST = r"15M$|^KX(BTC|ETH|SOL|XRP|DOGE|BNB|HYPE)D?$|^(KX)?(INX|NASDAQ100)U$"
_OPEN = ("initialized", "active", "inactive", "open", "disputed")
_ENDED = ("finalized", "settled")
DATED = ("ticker", "close_time", "_fetched_at")  # what `newest` reads
_PLACE = [FILE, ROW]


def newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return where the newest row of each ticker is, and the close that was planned.

    Parameters
    ----------
    rows : frame
        ticker, close_time, _fetched_at, file and row of all rows.

    Returns
    -------
    frame (file, row, planned)
        One row a ticker, and every row without one. `planned` is the close as the oldest row says
        that was fetched before it; null without such a row.
    """
    rows = rows.sort("_fetched_at", *_PLACE)  # null first: a row that states no age is the oldest
    before = pl.col("_fetched_at") < pl.col("close_time")
    planned = rows.filter(before).unique("ticker", keep="first", maintain_order=True)
    named = rows.filter(pl.col("ticker").is_not_null())
    last = named.unique("ticker", keep="last", maintain_order=True).select("ticker", *_PLACE)
    last = last.join(
        planned.select("ticker", planned="close_time"), on="ticker", how="left"
    ).select(*_PLACE, "planned")
    nameless = rows.filter(pl.col("ticker").is_null())
    return pl.concat([last, nameless.select(*_PLACE, planned=pl.lit(None, dtype=Time))])


def listed(frame: pl.DataFrame, punctual: Sequence[str]) -> pl.DataFrame:
    """Return the newest rows with the columns of `schema.MARKETS`.

    Parameters
    ----------
    frame : frame
        Rows of the files that are the newest, with `planned`.
    punctual : sequence of str
        Prefixes of series whose close never comes early, so that the recorded one is the plan.

    Notes
    -----
    The scheduled close is, in this order: what the ticker states; the close of a row that was
    fetched before it; the recorded close of the series named. Else it is not known.
    """
    ended = pl.col("close_time")
    frame = frame.with_columns(
        ended=ended,
        event="event_ticker",
        series=series_of("event_ticker"),
        title=_said("title"),
        subtitle=_said("yes_sub_title"),
    )
    sure = pl.any_horizontal(
        pl.lit(False), *(pl.col("series").str.starts_with(p) for p in punctual)
    )
    close = pl.coalesce(scheduled(ended), "planned", pl.when(sure).then(ended))
    kind, floor, cap = strikes()
    frame = frame.with_columns(
        close_time=close, strike_type=kind, floor_strike=floor, cap_strike=cap
    )
    return frame.with_columns(
        pl.lit(None, dtype=MARKETS.columns[name]).alias(name)
        for name in ("mutually_exclusive", "price_ranges", "rules", "can_close_early")
    )


def derived(tickers: Sequence[str]) -> pl.DataFrame:
    """Return markets that only trades speak of: all that their tickers say, as `schema.MARKETS`."""
    event = pl.col("ticker").str.replace(r"-[^-]+$", "")
    frame = pl.DataFrame({"ticker": tickers}, schema={"ticker": pl.String}).with_columns(
        event=event, series=series_of("ticker")
    )
    close = scheduled(pl.lit(None, dtype=MARKETS.columns["close_time"]))
    return MARKETS.filled(frame.drop_nulls().with_columns(close_time=close))


def unsettled() -> tuple[pl.Expr, pl.Expr]:
    """Return where a market has no result, and where it has none although it ended.

    The exchange gave payouts other than 0 and 1 dollar without a result until January 2026.
    """
    status, result = pl.col("status").fill_null(""), pl.col("result").fill_null("")
    open_ = (result.str.strip_chars() == "") | status.is_in(_OPEN)
    return open_, open_ & status.is_in(_ENDED)


def settled(frame: pl.DataFrame, lags: Mapping[str, str]) -> pl.DataFrame:
    """Return markets with a result with the columns of `schema.SETTLEMENTS`.

    Parameters
    ----------
    frame : frame
        What `listed` returns, only markets with a result.
    lags : mapping of prefix to duration
        From the close until the payout was known, by the longest prefix of the series.
    """
    result = pl.col("result").str.strip_chars().str.to_lowercase()
    lag = pl.when(pl.col("series").str.contains(FAST)).then(_micro(FAST_LAG)).otherwise(_micro(LAG))
    for prefix in sorted(lags, key=len):
        named = pl.col("series").str.starts_with(prefix)
        lag = pl.when(named).then(_micro(lags[prefix])).otherwise(lag)
    payout = pl.when(result == "yes").then(PRICE_SCALE).when(result == "no").then(0)
    ended = pl.coalesce("ended", "close_time")
    return frame.with_columns(
        result=result,
        payout=payout.cast(pl.Int64),
        close_time=ended,
        time=ended + pl.duration(microseconds=lag),
        value=pl.lit(None, dtype=pl.Float64),
    )


def asked_of_markets() -> list[Check]:
    """Return the checks of `listed` rows."""
    return list(checks("markets"))


def asked_of_settlements() -> list[Check]:
    """Return the checks of `settled` rows, in order."""
    known = pl.col("result").is_in(["yes", "no", "scalar"])
    return [
        Check("unknown_result", ~known, show("result")),
        Check("no_close_time", pl.col("close_time").is_null(), show("ticker")),
        *checks("settlements"),
    ]


def stored(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Return rows that passed as they are stored, sorted."""
    declared = {"markets": MARKETS, "settlements": SETTLEMENTS}[table]
    cells = (pl.col(name).cast(dtype) for name, dtype in declared.columns.items())
    return frame.select(*cells).sort(declared.key)


def _micro(text: str) -> pl.Expr:
    return pl.lit(parse_duration(text), dtype=pl.Int64)


def _said(name: str) -> pl.Expr:
    """Return a text, null where it is empty."""
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text)
