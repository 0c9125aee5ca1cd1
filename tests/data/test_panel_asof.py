"""References beside the bars: the newest value known at the end of each."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from panel_rows import Row, at, candle, filled, made_store, market, reference, seen

from kalshi_bt import schema
from kalshi_bt.data.asof import as_of
from kalshi_bt.data.panel import Reference, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

SPOT = Reference("spot", "BTC", "close", "spot", with_age=True)
TICK = timedelta(microseconds=1)


def dataset(
    folder: Path, references: Sequence[Row], tickers: Sequence[str] = ("KXA-1-A",)
) -> Store:
    rows = [candle(ticker, k, bid=10, ask=20) for ticker in tickers for k in (1, 2, 3)]
    return made_store(folder, {"candles": rows, "references": references})


# --- a plain search -------------------------------------------------------------------------------


def newest(rows: Sequence[Row], symbol: str | None, end: Any, max_age: timedelta | None) -> Any:
    """Value and age of the newest row by the end of a bar, after looking at every one."""
    best = None
    for row in rows:
        if row["symbol"] == symbol and row["time"] <= end:
            best = row if best is None or row["time"] > best["time"] else best
    if best is None or (max_age is not None and end - best["time"] > max_age):
        return (None, None)
    return (best["value"], (end - best["time"]).total_seconds())


moments = st.integers(0, 12).map(lambda k: at(k / 2))
said = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["BTC", "ETH", "SOL"]),
        "time": moments,
        "value": st.none() | st.floats(-1e6, 1e6),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(said, unique_by=lambda row: (row["symbol"], row["time"]), max_size=20),
    st.lists(st.tuples(st.integers(0, 3), moments), unique=True, min_size=1, max_size=20),
    st.permutations(["BTC", "ETH", "DOGE", None]),
    st.none() | st.integers(0, 240).map(lambda s: timedelta(seconds=s)),
)
def test_the_newest_value_known_is_that_of_a_search_through_all(
    rows: list[Row], bars: list[Any], symbols: list[str | None], max_age: timedelta | None
) -> None:
    types = {"symbol": pl.String, "time": schema.Time, "value": pl.Float64}
    asked = Reference("spot", "any", "close", "spot", max_age, with_age=True)
    found = as_of(
        pl.DataFrame(bars, schema={"market": pl.UInt32, "time": schema.Time}, orient="row"),
        pl.Series(symbols, dtype=pl.String),
        pl.DataFrame(rows, schema=types),
        asked,
    )
    assert found.schema == {"spot": pl.Float64, "spot_age": pl.Float64}
    assert found.rows() == [newest(rows, symbols[m], end, max_age) for m, end in bars]


# --- in a panel -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("there", "value"), [(("b", "c"), 2.0), (("c",), 3.0)])
def test_of_several_sources_the_first_that_is_there_speaks(
    tmp_path: Path, there: tuple[str, ...], value: float
) -> None:
    values = {"b": 2.0, "c": 3.0}
    rows = [reference(1, values[name], source=name) for name in there]
    asked = Reference("a, b,c", "BTC", "close", "spot", optional=True)
    made = panel(dataset(tmp_path / "d", rows), references=[asked])
    assert set(made.bars["spot"].drop_nulls()) == {value}
    assert f"spot: from {there[0]}" in made.notes


def test_a_source_that_is_there_may_be_silent_of_what_is_asked(tmp_path: Path) -> None:
    """That it was found hides neither that it says nothing, nor of whom."""
    rows = [reference(1, 2.0, symbol="ETH", source="b")]
    store = dataset(tmp_path / "d", rows, ["KXA-1-A", "KXB-1-A"])
    for symbols, words in (
        ({"KXA": "BTC"}, "spot: this data says nothing of it (b; close of BTC)"),
        ({"KXA": "BTC", "KXB": "ETH"}, "b says nothing of 1 symbols, such as BTC"),
    ):
        made = panel(store, references=[Reference("a,b", symbols, "close", "spot", optional=True)])
        assert any(words in note for note in made.notes), made.notes


def test_of_several_sources_none_may_be_there(tmp_path: Path) -> None:
    rows = [reference(1, 2.0, source="z")]
    asked = Reference("a,b", "BTC", "close", "spot", optional=True)
    made = panel(dataset(tmp_path / "d", rows), references=[asked])
    assert made.bars["spot"].null_count() == made.bars.height
    told = "spot: this data says nothing of it (a,b; close of BTC); it has close of z"
    assert made.notes[0] == told


def test_what_is_there_instead_is_told_in_short(tmp_path: Path) -> None:
    asked = Reference("a", "BTC", "close", "spot", optional=True)
    notes = panel(dataset(tmp_path / "none", []), references=[asked]).notes
    assert notes[0] == "spot: this data says nothing of it (a; close of BTC)"
    rows = [reference(1, 2.0, source=s, field=f) for s in ("c", "b") for f in ("q", "p")]
    notes = panel(dataset(tmp_path / "four", rows), references=[asked]).notes
    assert notes[0].endswith("close of BTC); it has p of b, q of b, p of c …")


def test_a_value_is_known_from_its_own_moment_and_not_before(tmp_path: Path) -> None:
    late = reference(2, 30.0, time=at(2) + TICK)
    store = dataset(tmp_path, [reference(1, 10.0), reference(2, 20.0), late])
    made = panel(store, references=[SPOT])
    assert seen(made, "time", "spot", "spot_age") == [
        (at(1), 10.0, 0.0),
        (at(2), 20.0, 0.0),
        (at(3), 30.0, 59.999999),
    ]


def test_references_follow_the_quotes_in_the_order_asked(tmp_path: Path) -> None:
    store = dataset(tmp_path, [reference(1, 10.0), reference(1, 3.0, field="volume")])
    asked = [Reference("spot", "BTC", "volume", "traded"), SPOT]
    made = panel(store, references=asked)
    names = [*schema.QUOTES, "traded", "spot", "spot_age"]
    found = made.quotes().collect()
    assert found.columns == names
    assert found["traded", "spot"].rows() == [(3.0, 10.0)] * 3
    assert found.schema["traded"] == found.schema["spot_age"] == pl.Float64
    assert made.references == ("traded", "spot", "spot_age")
    plain = panel(store)
    assert plain.quotes().collect().equals(found.select(list(schema.QUOTES)))
    assert plain.notes == made.notes


def test_nothing_is_known_before_the_first_value_and_a_null_is_not_filled(tmp_path: Path) -> None:
    rows = [reference(2, 20.0), reference(2.5, None, text="closed")]
    made = panel(dataset(tmp_path, rows), references=[SPOT])
    assert seen(made, "spot", "spot_age") == [(None, None), (20.0, 0.0), (None, 30.0)]


def test_what_is_not_a_number_is_null(tmp_path: Path) -> None:
    """NaN would compare as larger than every number."""
    made = panel(dataset(tmp_path, [reference(1, float("nan"))]), references=[SPOT])
    assert seen(made, "spot") == [None] * 3


def test_what_is_too_old_is_not_used(tmp_path: Path) -> None:
    store = dataset(tmp_path, [reference(1, 10.0)])
    asked = [
        Reference("spot", "BTC", "close", f"spot_{age}", timedelta(seconds=age))
        for age in (0, 59, 60, 120)
    ]
    found = panel(store, references=asked).quotes()
    assert found.select("^spot_.*$").collect().rows() == [
        (10.0, 10.0, 10.0, 10.0),
        (None, None, 10.0, 10.0),
        (None, None, None, 10.0),
    ]


def test_a_panel_that_starts_later_knows_what_was_said_before(tmp_path: Path) -> None:
    store = dataset(tmp_path, [reference(-5_000, 10.0)])
    assert seen(panel(store, start=at(2), references=[SPOT]), "spot") == [10.0]


TWO = ("KXA-1-A", "KXB-1-B")
BOTH = (reference(0, 10.0), reference(0, 7.0, "ETH"))


def test_each_series_can_have_its_own_symbol(tmp_path: Path) -> None:
    store = dataset(tmp_path, BOTH, (*TWO, "KXC-1-A"))
    spot = Reference("spot", {"KXB": "ETH", "KXA": "BTC", "KXZ": "SOL"}, "close", "spot")
    made = panel(store, references=[spot])
    assert seen(made, "spot") == [10.0] * 3 + [7.0] * 3 + [None] * 3
    assert made.notes == ()


def test_each_market_can_have_its_own_symbol(tmp_path: Path) -> None:
    store = dataset(tmp_path, BOTH, (*TWO, "KXC-1-A"))
    symbols = pl.DataFrame({"ticker": [*TWO[::-1], "KXZ-1-A"], "symbol": ["BTC", "ETH", "SOL"]})
    made = panel(store, references=[Reference("spot", symbols, "close", "spot")])
    assert seen(made, "spot") == [7.0] * 3 + [10.0] * 3 + [None] * 3


def test_symbols_nothing_is_said_of_are_counted(tmp_path: Path) -> None:
    store = dataset(tmp_path, BOTH, TWO)
    symbols = pl.DataFrame({"ticker": TWO, "symbol": ["ETH", "SOL"]})
    made = panel(store, references=[Reference("spot", symbols, "close", "spot")])
    assert seen(made, "spot") == [7.0] * 3 + [None] * 3
    assert made.notes == (
        "spot: spot says nothing of 1 symbols, such as SOL; their markets have none",
    )


def test_silence_is_said_once_for_all_columns_of_a_source(tmp_path: Path) -> None:
    store = dataset(tmp_path, [reference(-90_000, 10.0)])
    hour = timedelta(hours=1)
    asked = [
        *(Reference("board", str(n), "score", f"place_{n}", optional=True) for n in range(1, 4)),
        Reference("spot", "BTC", "close", "spot", max_age=hour, optional=True),
    ]
    assert panel(store, references=asked).notes == (
        "place_1 and 2 more: this data says nothing of them (board); it has close of spot",
        (
            "spot: this data says nothing of it (spot, at most 1:00:00 old; close of BTC); "
            "it has close of spot"
        ),
    )


def test_a_symbol_that_only_speaks_later_is_not_an_error(tmp_path: Path) -> None:
    store = dataset(tmp_path, [reference(2.5, 10.0)])
    made = panel(store, end=at(2), references=[SPOT])
    assert (seen(made, "spot"), made.notes) == ([None, None], ())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            Reference("sport", "BTC", "close", "x"),
            "unknown source of references in made 'sport'; d",
        ),
        (
            Reference("spot", "BTC", "closed", "x"),
            "unknown field of spot in made 'closed'; did you",
        ),
        (Reference("spot", "BTX", "close", "x"), "unknown symbol of spot in made 'BTX'; did you m"),
        (Reference("spot", {"KXA": "BTX"}, "close", "x"), "unknown symbol of spot in made 'BTX'"),
        (
            Reference("spot", pl.DataFrame({"ticker": ["KXA-1-A"], "symbol": "B"}), "close", "x"),
            "unknown symbol of spot in made 'B'",
        ),
    ],
)
def test_what_the_dataset_does_not_have_is_an_error(
    tmp_path: Path, asked: Reference, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        panel(dataset(tmp_path, [reference(1, 1.0)]), references=[asked])


@pytest.mark.parametrize(
    "name", ["payout", "result", "value", "bid", "close_time", "fair", "side", "market"]
)
def test_a_reference_cannot_take_a_name_that_has_a_meaning(name: str) -> None:
    with pytest.raises(UsageError, match=f"a reference cannot be the column '{name}'"):
        Reference("spot", "BTC", "close", name)


def test_two_references_cannot_share_a_column(tmp_path: Path) -> None:
    asked = [SPOT, Reference("spot", "BTC", "close", "spot_age")]
    with pytest.raises(UsageError, match="two references add the column 'spot_age'"):
        panel(dataset(tmp_path, [reference(1, 1.0)]), references=asked)


def test_symbols_of_markets_must_be_one_for_each() -> None:
    markets = filled(schema.MARKETS, [market("KXA-1-A")])
    lacking = pl.DataFrame({"ticker": ["KXA-1-A"]})
    with pytest.raises(DataError, match=r"symbols of 'x' lack the columns \['symbol'\]"):
        Reference("spot", lacking, "close", "x").symbols(markets)
    twice = pl.DataFrame({"ticker": ["KXA-1-A"] * 2, "symbol": ["BTC", "ETH"]})
    with pytest.raises(DataError, match="symbols of 'x' have KXA-1-A more than once"):
        Reference("spot", twice, "close", "x").symbols(markets)
    with pytest.raises(UsageError, match="max_age of 'x' is -1 day"):
        Reference("spot", "BTC", "close", "x", timedelta(days=-1))
