"""Rules on single rows: declared ranges and orders, prices on the grid, tickers that are known."""

from collections.abc import Sequence

import polars as pl

from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import REASONS, Check, checks, show
from kalshi_bt.schema import OHLC, STORED
from kalshi_bt.units import PRICE_SCALE

_SUBJECT = {
    "candles": ("ticker", "time"),
    "trades": ("ticker", "time"),
    "markets": ("ticker", "open_time"),
    "settlements": ("ticker", "time"),
    "revisions": ("ticker", "time"),
    "determinations": ("ticker", "time"),
    "series": ("series", "effective_from"),
    "references": ("symbol", "time"),
    "books": ("ticker", "time"),
    "event_fees": ("event", "effective_from"),
}
_PRICES = [f"{side}_{part}" for side in ("price", "bid", "ask") for part in OHLC]


def _stored(table: str) -> View:
    return View((table,), lambda rows: rows.scan(table), "ticker" in STORED[table].columns)


STORED_ROWS = {table: _stored(table) for table in (*_SUBJECT, "coverage")}


def _with_grid(rows: Rows, table: str, columns: Sequence[str]) -> pl.LazyFrame:
    """Return rows with `off_grid`: whether a price is no step of its market's grid."""
    grids = rows.life().select("ticker", "grid", listed=pl.lit(value=True))
    known = rows.life().select(pl.col("grid").unique()).collect()["grid"].sort().to_list()
    prices = [pl.col(name) for name in columns]
    off = pl.any_horizontal(price % 100 != 0 for price in prices)
    for grid in known:
        if grid is not None:
            steps = [pl.Series([part]).str.json_decode(_STEP)[0] for part in grid.split(";")]
            outside = pl.any_horizontal(~_on(price, steps) for price in prices)
            off = pl.when(pl.col("grid") == grid).then(outside).otherwise(off)
    frame = rows.scan(table).join(grids, on="ticker", how="left", maintain_order="left")
    return frame.with_columns(off_grid=off)


_STEP = pl.Struct({"start": pl.Int32, "end": pl.Int32, "step": pl.Int32})


def _on(price: pl.Expr, steps: Sequence[dict[str, int]]) -> pl.Expr:
    """Return whether a price is on one of the ranges of a grid."""
    return pl.any_horizontal(
        price.is_between(s["start"], s["end"]) & ((price - s["start"]) % s["step"] == 0)
        for s in steps
    )


CANDLE_ROWS = View(("candles",), lambda rows: _with_grid(rows, "candles", _PRICES))
TRADE_ROWS = View(("trades",), lambda rows: _with_grid(rows, "trades", ["price"]))
_VIEWS = STORED_ROWS | {"candles": CANDLE_ROWS, "trades": TRADE_ROWS}


def _declared(table: str) -> list[Rule]:
    """Return the rules that say of stored rows what importers ask of new ones."""
    named: dict[str, list[Check]] = {}
    for check in checks("settlements" if table == "revisions" else table):
        named.setdefault(check.reason, []).append(check)
    subject, time = _SUBJECT[table]
    return [
        Rule(
            reason,
            "error",
            table,
            REASONS[reason],
            _VIEWS[table],
            pl.any_horizontal(check.fails.fill_null(value=False) for check in same),
            pl.coalesce(pl.when(check.fails).then(check.found) for check in same),
            subject=subject,
            time=time,
        )
        for reason, same in named.items()
    ]


def _market(table: str, view: View) -> list[Rule]:
    """Return the rules that a row's market is known and its prices are on the grid."""
    columns = _PRICES if table == "candles" else ["price"]
    return [
        Rule(
            "unknown_ticker",
            "error",
            table,
            REASONS["unknown_ticker"],
            view,
            pl.col("listed").is_null(),
            pl.lit("no row in markets"),
        ),
        Rule(
            "off_market_grid",
            "error",
            table,
            "a price is no step of its market's grid (price_ranges; whole cents without them)",
            view,
            pl.col("off_grid"),
            show(*columns),
            asked=pl.col("listed").is_not_null(),
        ),
    ]


def _unlisted(table: str) -> Rule:
    """Return the rule that a row's market is known, for tables without prices."""
    view = View(
        (table,),
        lambda rows: rows.scan(table).join(
            rows.scan("markets").select("ticker", listed=pl.lit(value=True)),
            on="ticker",
            how="left",
        ),
    )
    found = pl.lit("no row in markets")
    meaning = REASONS["unknown_ticker"]
    fails = pl.col("listed").is_null()
    return Rule("unknown_ticker", "error", table, meaning, view, fails, found)


_LEVELS = {
    side: pl.col(side).list.eval(pl.element().struct.field("price")) for side in ("bids", "asks")
}
_BEST = {side: prices.list.first() for side, prices in _LEVELS.items()}


def _books(rows: Rows) -> pl.LazyFrame:
    """Return books with their best prices and whether their levels are as they must be."""
    bad = []
    for side, prices in _LEVELS.items():
        steps = prices.list.eval(pl.element().diff().drop_nulls())
        rising = steps.list.max() >= 0 if side == "bids" else steps.list.min() <= 0
        sizes = pl.col(side).list.eval(pl.element().struct.field("size"))
        outside = (prices.list.min() <= 0) | (prices.list.max() >= PRICE_SCALE)
        bad += [rising, outside, sizes.list.min() <= 0]
    return rows.scan("books").with_columns(
        best_bid=_BEST["bids"],
        best_ask=_BEST["asks"],
        disorder=pl.any_horizontal(fault.fill_null(value=False) for fault in bad),
    )


BOOK_ROWS = View(("books",), _books)
_BOOKS = (
    Rule(
        "crossed",
        "error",
        "books",
        "the best bid is above the best ask",
        BOOK_ROWS,
        pl.col("best_bid") > pl.col("best_ask"),
        show("best_bid", "best_ask"),
    ),
    Rule(
        "locked",
        "warning",
        "books",
        "the best bid is the best ask: the sides were not recorded at one moment",
        BOOK_ROWS,
        pl.col("best_bid") == pl.col("best_ask"),
        show("best_bid", "best_ask"),
    ),
    Rule(
        "level_disorder",
        "error",
        "books",
        "levels are not best first, or one has no size or a price that cannot be",
        BOOK_ROWS,
        pl.col("disorder"),
        show("best_bid", "best_ask"),
    ),
)

RULES = (
    *(rule for table in _SUBJECT for rule in _declared(table)),
    *_market("candles", CANDLE_ROWS),
    *_market("trades", TRADE_ROWS),
    _unlisted("settlements"),
    _unlisted("determinations"),
    _unlisted("books"),
    *_BOOKS,
    Rule(
        "coverage_inverted",
        "error",
        "coverage",
        "what was fetched ends before it starts",
        STORED_ROWS["coverage"],
        pl.col("end") < pl.col("start"),
        show("start", "end"),
        subject="subject",
        time="end",
    ),
)
