"""Which markets are audited, and where the cuts lie."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from kalshi_bt.lookahead.sampling import COMPLETE, IN_A_RUN, bars_of, chosen, cuts, spread, turns
from tests.lookahead.conftest import Bench
from tests.quotes_random import flat, quotes

SILENT = pl.DataFrame(schema={"market": pl.UInt32, "count": pl.UInt32})


@pytest.mark.parametrize("size", [IN_A_RUN, COMPLETE])
def test_every_series_is_audited_and_events_are_taken_whole(bench: Bench, size: object) -> None:
    made = bench.panel
    taken = made.markets[chosen(made, SILENT, size).to_list()]  # type: ignore[arg-type]
    assert set(taken["series"]) == set(made.markets["series"])
    for event in taken["event"].unique():
        assert taken.filter(event=event).height == made.markets.filter(event=event).height


def test_a_complete_audit_leaves_no_market_of_a_day_out(bench: Bench) -> None:
    """A leak in few markets is found where they are asked; of short ones, many cost little."""
    assert len(chosen(bench.panel, SILENT, COMPLETE)) == bench.panel.markets.height


def test_markets_that_are_spoken_of_come_first(bench: Bench) -> None:
    """One quiet market of many coin windows, of which three are spoken of to one that is not."""
    made = bench.panel
    series = made.markets.with_row_index("market").filter(series="SYNBTC15M")
    spoken = series.filter(pl.int_range(pl.len()) % 10 == 4).select("market", count=pl.lit(3))
    taken = set(chosen(made, spoken, replace(IN_A_RUN, markets=20)))
    windows = taken & set(series["market"])
    told = windows & set(spoken["market"])
    assert len(told) >= 2 * len(windows - told) > 0


def test_the_first_of_a_spread_lie_far_apart() -> None:
    assert sorted(spread(100)) == list(range(100))
    first = sorted(spread(100)[:8])
    assert min(b - a for a, b in pairwise(first)) >= 4


def test_cuts_lie_where_the_signal_speaks_before_jumps_and_near_the_end() -> None:
    price = [0.5] * 40
    price[30:] = [0.8] * 10
    frame = flat([None] * 40).with_columns(mid=pl.Series(price))
    told = np.zeros(40, dtype=bool)
    told[7] = True
    rounds = cuts(frame, told, 6)
    at = frame["time"].to_physical().to_list()
    rows = [at.index(int(cut[0])) for cut in rounds]
    assert rows[0] == 7  # it speaks
    assert 29 in rows[:3]  # the price jumps next
    assert 38 in rows  # the last bar but one
    assert 39 not in rows  # nothing comes after the last


def test_cuts_lie_where_a_day_ends_in_utc_and_in_new_york() -> None:
    """Two days of minutes of each of four events; a bar of midnight is the first or the last."""
    start = datetime(2026, 5, 4, 12, tzinfo=UTC)
    one = flat([None] * 2_880).with_columns(
        time=pl.datetime_range(
            start, start + timedelta(minutes=2_879), "1m", time_unit="us", eager=True
        )
    )
    frame = pl.concat(
        one.with_columns(ticker=pl.lit(f"E{n}-M"), event=pl.lit(f"E{n}")).cast(one.schema)
        for n in range(4)
    )
    rounds = cuts(frame, np.ones(frame.height, dtype=bool), IN_A_RUN.cuts)
    minutes = {int(t // 60_000_000) % 1_440 for cut in rounds for t in np.unique(cut)}
    # New York is four hours behind.
    assert {1_439, 0, 239, 240} <= minutes
    every = cuts(frame, np.ones(frame.height, dtype=bool), COMPLETE.cuts)
    for event in range(4):
        own = {int(cut[event * 2_880] // 60_000_000) % 1_440 for cut in every}
        assert {1_439, 0, 239, 240} <= own


def test_cuts_lie_where_what_is_said_changes_most() -> None:
    frame = flat([None] * 40)
    fair = [0.5] * 40
    fair[17] = 0.9
    said = frame.select("ticker", "time", fair=pl.Series(fair))
    told = np.ones(40, dtype=bool)
    at = frame["time"].to_physical().to_list()
    rows = {at.index(int(cut[0])) for cut in cuts(frame, told, 6, turned=turns(said))}
    assert 17 in rows


def test_an_opinion_turns_where_it_moves_comes_or_goes_within_a_market() -> None:
    said = pl.DataFrame(
        {
            "ticker": ["A"] * 5 + ["B"] * 2,
            "side": pl.Series([None, 1, 1, -1, None, 1, 1], dtype=pl.Int8),
            "fair": [0.5, 0.5, 0.75, 0.75, 0.75, 0.1, float("nan")],
        }
    )
    # The side comes; the fair value rises; the side turns; it goes.
    assert turns(said).tolist()[:6] == [0.0, 1.0, 0.25, 2.0, 1.0, 0.0]
    assert np.isfinite(turns(said)).all()
    silent = said.with_columns(side=None, fair=None)
    assert turns(silent).tolist() == [0.0] * 7


def test_each_event_has_its_own_cut_and_all_its_markets_share_it() -> None:
    frame = quotes(1, bars=50, events=4, markets=3, absent=0.2).sort("ticker", "time")
    told = np.random.Generator(np.random.Philox(1)).random(frame.height) < 0.1
    for cut in cuts(frame, told, 5):
        by_event = frame.select("event", cut=pl.Series(cut)).group_by("event").agg(
            pl.col("cut").n_unique()
        )  # fmt: skip
        assert (by_event["cut"] == 1).all()


def test_a_market_of_one_bar_has_no_cut() -> None:
    frame = flat([None])
    (cut,) = cuts(frame, np.ones(1, dtype=bool), 1)
    assert cut[0] < frame["time"].to_physical()[0]


def test_places_count_from_the_first_bar_of_each_market() -> None:
    frame = pl.DataFrame({"ticker": ["A", "A", "B", "B", "B"]})
    place, start = bars_of(frame)
    assert place.tolist() == [0, 1, 0, 1, 2]
    assert start.tolist() == [0, 0, 2, 2, 2]
