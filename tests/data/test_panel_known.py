"""Nothing of a panel depends on outcomes, or on rows that were known later than its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel, Reference, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import START, SYMBOL, sample
from kalshi_bt.errors import DataError

Tables = Mapping[str, pl.DataFrame]
KINDS = {"candles": "candle", "trades": "trades", "books": "book"}
OPEN = START + timedelta(hours=12)  # of the first game
SPOT = (
    Reference("synthetic", SYMBOL, "close", "spot", with_age=True),
    Reference("synthetic", {"SYNGAME": SYMBOL}, "close", "recent", timedelta(seconds=90)),
)
FEW = settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.generate))
moments = st.integers(1, 4 * 3_600).map(lambda s: OPEN + timedelta(seconds=s))

pytestmark = pytest.mark.slow


def recorded() -> Tables:
    """Two games and an hour of quarters; a book at the end of each minute, heard to the end."""
    whole = sample(days=1)
    first = pl.col("event").str.starts_with("SYNGAME") | pl.col("event").str.starts_with("SYNBTC")
    window = (pl.col("open_time") >= OPEN) & (pl.col("open_time") <= OPEN + timedelta(hours=1.5))
    markets = whole["markets"].filter(first & window)
    assert set(markets["series"]) == {"SYNGAME", "SYNBTC15M"}
    tables = {
        name: whole[name].filter(pl.col("ticker").is_in(markets["ticker"].implode()))
        for name in ("candles", "trades", "settlements")
    }
    thin = whole["references"].filter(pl.col("time").dt.minute() % 3 == 0)
    near = thin.filter(pl.col("time").is_between(OPEN, OPEN + timedelta(hours=4)))
    levels = {
        f"{side}s": pl.concat_list(pl.struct(price=f"{side}_close", size=pl.lit(100)))
        for side in ("bid", "ask")
    }
    both = tables["candles"].drop_nulls(["bid_close", "ask_close"])
    # Every other minute, so that some bars are quiet.
    often = both.filter(pl.col("time").dt.minute() % 2 == 0)
    books = often.select("ticker", "time", **levels).cast(dict(schema.BOOKS.columns))
    heard = pl.DataFrame(
        [
            ("books", name, 0, None, OPEN + timedelta(hours=4), False)
            for name in set(markets["series"])
        ],
        schema=schema.COVERAGE.columns,
        orient="row",
    )
    more = {"markets": markets, "references": near, "books": books, "coverage": heard}
    return {**tables, **more, "series": whole["series"]}


RECORDED = recorded()


def until(tables: Tables, moment: datetime) -> Tables:
    """What a recorder had at a moment."""
    cut = {n: f.filter(pl.col("time") <= moment) for n, f in tables.items() if "time" in f.columns}
    heard = tables["coverage"].with_columns(
        pl.min_horizontal("end", pl.lit(moment)).cast(schema.Time)
    )
    return {**tables, **cut, "coverage": heard}


def poisoned(tables: Tables, moment: datetime, seed: int) -> Tables:
    """Other outcomes; and other rows after a moment, more of them, of more markets and periods."""
    rng = np.random.Generator(np.random.Philox(seed))
    found = dict(tables)
    for name in (*KINDS, "references"):
        frame = tables[name]
        later = frame.filter(pl.col("time") > moment)
        order = pl.Series(rng.permutation(later.height))
        other = [n for n in frame.columns if n not in schema.STORED[name].key]
        swapped = later.with_columns(later[n].gather(order) for n in other)
        strange = later.with_columns(pl.col(frame.columns[0]) + "-ELSE")
        found[name] = pl.concat([frame.filter(pl.col("time") <= moment), swapped, strange])
    hours = (
        found["candles"]
        .filter(pl.col("time") > moment)
        .with_columns(pl.lit(3_600, dtype=pl.Int32).alias("period"))
    )
    found["candles"] = pl.concat([found["candles"], hours])
    found["settlements"] = tables["settlements"].with_columns(
        time=pl.lit(START, dtype=schema.Time),
        close_time=pl.lit(START, dtype=schema.Time),
        payout=pl.Series(rng.integers(0, 10_001, tables["settlements"].height)).cast(schema.Price),
        result=pl.lit("scalar"),
        value=pl.lit(-1.0),
    )
    return found


@contextmanager
def stored(tables: Tables) -> Iterator[Store]:
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "made", name="made")
        store.commit(tables)
        yield store


def bytes_of(made: Panel) -> list[bytes]:
    """All of a panel as text; a number that differs in its last bit is another text."""
    texts = [repr((made.period, made.notes, made.references)).encode()]
    for frame in (made.bars, made.markets, made.quotes().collect()):
        frame.write_ndjson(text := BytesIO())
        texts += [repr(frame.schema).encode(), text.getvalue()]
    return texts


def seen_until(made: Panel, moment: datetime) -> pl.DataFrame:
    ticker = pl.col("ticker").cast(pl.String)
    return made.quotes().filter(pl.col("time") <= moment).with_columns(ticker).collect()


def made_of(store: Store, kind: Any, **options: Any) -> Panel:
    return panel(store, quotes=kind, period=60, references=SPOT, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_has_what_these_tests_look_at(kind: Any) -> None:
    with stored(RECORDED) as store:
        made = made_of(store, kind)
    found = made.quotes().collect()
    assert set(found["quote_source"]) == {KINDS[kind]}
    assert found["bid", "ask", "spot", "recent"].null_count().row(0) < (found.height,) * 4
    assert found["recent"].null_count() > found["spot"].null_count()
    assert found.filter(pl.col("series") == "SYNBTC15M")["recent"].null_count() > 0


@FEW
@given(moments, st.integers(0, 9), st.sampled_from(sorted(KINDS)))
def test_garbage_in_outcomes_and_in_later_rows_changes_no_byte(
    moment: datetime, seed: int, kind: str
) -> None:
    with stored(RECORDED) as true, stored(poisoned(RECORDED, moment, seed)) as false:
        given, found = (panel_or_none(store, kind, moment) for store in (true, false))
        assert (given is None) == (found is None)
        if given is not None and found is not None:
            assert bytes_of(given) == bytes_of(found)


def panel_or_none(store: Store, kind: Any, end: datetime) -> Panel | None:
    try:
        return made_of(store, kind, end=end)
    except DataError:  # nothing happened by then
        return None


@FEW
@given(moments, st.sampled_from(sorted(KINDS)))
def test_what_was_known_by_a_moment_makes_the_panel_up_to_it(moment: datetime, kind: str) -> None:
    with stored(RECORDED) as whole, stored(until(RECORDED, moment)) as past:
        cut, then = (panel_or_none(store, kind, moment) for store in (whole, past))
        assert (cut is None) == (then is None)
        if cut is not None and then is not None:
            assert bytes_of(cut) == bytes_of(then)
            # And a bar that is seen on the way says what it says at the end.
            assert seen_until(made_of(whole, kind), moment).equals(then.quotes().pipe(plain))


def plain(quotes: pl.LazyFrame) -> pl.DataFrame:
    return quotes.with_columns(pl.col("ticker").cast(pl.String)).collect()


@FEW
@given(moments, st.sampled_from(sorted(KINDS)))
def test_a_panel_that_starts_later_is_the_rest_of_the_whole(moment: datetime, kind: str) -> None:
    with stored(RECORDED) as store:
        late = plain(made_of(store, kind, start=moment).quotes())
        whole = plain(made_of(store, kind).quotes())
    assert late.equals(whole.filter(pl.col("time") > moment))


def test_no_column_of_a_panel_is_an_outcome() -> None:
    ours = {"ticker", "time", "close_time"}  # of the market: as scheduled
    forbidden = (set(schema.SETTLEMENTS.columns) | {"settled", "outcome", "winner"}) - ours
    with stored(RECORDED) as store:
        for kind in KINDS:
            made = made_of(store, kind)
            for frame in (made.quotes().collect(), made.bars, made.markets):
                assert not forbidden & set(frame.columns)


def test_the_close_that_is_seen_is_the_one_that_was_scheduled() -> None:
    """The second game ends early; a bar that a dataset has after that is left to the simulator."""
    with stored(RECORDED) as store:
        made = made_of(store, "candles")
        actual = outcomes(store, made.markets).select("ticker", actual="close_time")
    early = actual.join(made.markets, on="ticker").filter(pl.col("actual") < pl.col("close_time"))
    assert early.height == 2
    found = plain(made.quotes()).join(early, on="ticker", suffix="_listed")
    assert found.select((pl.col("close_time") == pl.col("close_time_listed")).all()).item()
    late = RECORDED["candles"].filter(pl.col("ticker") == early["ticker"][0]).tail(1)
    late = late.with_columns(pl.col("time") + timedelta(minutes=5))
    with stored({**RECORDED, "candles": pl.concat([RECORDED["candles"], late])}) as store:
        kept = plain(made_of(store, "candles").quotes())
    assert kept.height == plain(made.quotes()).height + 1
