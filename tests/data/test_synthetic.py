"""The sample is what it says: its rules, its truth, and what is planted in it and only that."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data import synthetic_paths as paths
from kalshi_bt.data.synthetic import FAIR, LABEL, Planted, sample, truth
from kalshi_bt.errors import UsageError

Tables = dict[str, pl.DataFrame]
SEEDS = (0, 1)
SERIES = ("SYNBTC15M", "SYNGAME", "SYNHIGH")
SIDES = ("bid", "ask")
UNSURE = 4.0  # standard errors that a fair sample stays within, and a planted one leaves


@cache
def tables(seed: int = 0, planted: Planted = FAIR) -> Tables:
    return sample(seed, planted=planted)


@cache
def quotes(planted: Planted = FAIR) -> pl.DataFrame:
    """Every bar of two seeds with its mid, event, payout and position in its market."""
    parts = []
    for seed in SEEDS:
        stored = tables(seed, planted)
        world = pl.lit(f"{seed}/")
        parts.append(
            stored["candles"]
            .join(stored["markets"].select("ticker", "event", "series"), on="ticker")
            .join(stored["settlements"].select("ticker", "payout"), on="ticker", how="left")
            .with_columns(
                mid=(pl.col("bid_close").cast(pl.Float64) + pl.col("ask_close")) / 20_000,
                payout=pl.col("payout") / 10_000,
                ticker=world + pl.col("ticker"),
                event=world + pl.col("event"),
            )
        )
    return pl.concat(parts).sort("ticker", "time")


def clustered_z(frame: pl.DataFrame, value: pl.Expr) -> float:
    """Mean of `value` in standard errors clustered by event."""
    sums = frame.group_by("event").agg(value.sum().alias("sum"))["sum"]
    return float(sums.sum() / (sums**2).sum() ** 0.5)


def calibration(planted: Planted, low: float, high: float) -> float:
    """Payout minus mid at each market's first bar with a mid in [low, high], in standard errors.

    The first visit is a stopping time: an average over all visits would not be fair to the price.
    """
    inside = quotes(planted).filter(pl.col("mid").is_between(low, high), pl.col("payout") >= 0)
    visits = inside.group_by("ticker", maintain_order=True).first()
    return clustered_z(visits, pl.col("payout") - pl.col("mid"))


def reversion(planted: Planted, series: str) -> float:
    """Next five bars' change of mid times its distance from the 25-bar mean, in standard errors."""
    mid = pl.col("mid")
    bars = quotes(planted).filter(pl.col("series") == series)
    moves = bars.with_columns(
        distance=mid - mid.rolling_mean(25).over("ticker"),
        change=mid.shift(-5).over("ticker") - mid,
    ).drop_nulls(["distance", "change"])
    return clustered_z(moves, pl.col("distance") * pl.col("change"))


def lead(planted: Planted, bars: int) -> float:
    """Correlation of a bar's change of mid with the spot's return `bars` bars before."""
    stored = tables(0, planted)
    spot = stored["references"].with_columns(pl.col("value").diff(60).alias("return"))
    mid = (pl.col("bid_close").cast(pl.Float64) + pl.col("ask_close")) / 20_000
    moves = (
        stored["candles"]
        .filter(pl.col("ticker").str.starts_with("SYNBTC15M"))
        .join(spot, on="time")
        .sort("ticker", "time")
        .with_columns(
            change=mid.diff().over("ticker"), earlier=pl.col("return").shift(bars).over("ticker")
        )
        .drop_nulls(["change", "earlier"])
    )
    return float(moves.select(pl.corr("change", "earlier")).item())


# --- tables --------------------------------------------------------------------------------------


def test_every_table_passes_its_schema() -> None:
    stored = tables()
    absent = {"event_fees", "revisions", "determinations", "books", "coverage", "quarantine"}
    assert set(stored) == set(schema.STORED) - absent
    for name, frame in stored.items():
        assert schema.STORED[name].check(frame).height > 0


def test_every_title_says_synthetic_and_every_series_begins_with_syn() -> None:
    stored = tables()
    assert stored["markets"]["title"].str.contains(LABEL).all()
    assert stored["series"]["series"].to_list() == list(SERIES)
    assert set(stored["markets"]["series"]) == set(SERIES)
    assert set(stored["references"]["source"]) == {LABEL}


def test_every_row_belongs_to_a_market_and_lies_within_its_life() -> None:
    stored = tables()
    ended = stored["settlements"].select("ticker", ended="close_time")
    for name in ("candles", "trades"):
        rows = stored[name].join(stored["markets"], on="ticker", how="left")
        rows = rows.join(ended, on="ticker", how="left")
        last = pl.coalesce("ended", "close_time")
        inside = (pl.col("time") > pl.col("open_time")) & (pl.col("time") <= last)
        assert rows.filter(inside).height == rows.height
        assert rows["event"].null_count() == 0
    assert (stored["settlements"]["time"] > stored["settlements"]["close_time"]).all()


def test_tickers_carry_us_eastern_times() -> None:
    markets = tables()["markets"]
    first = markets.filter(pl.col("ticker") == "SYNBTC15M-26MAY040015-15").row(0, named=True)
    assert str(first["open_time"]) == "2026-05-04 04:00:00+00:00"
    assert str(first["close_time"]) == "2026-05-04 04:15:00+00:00"
    assert first["event"] == "SYNBTC15M-26MAY040015"
    for market in markets.iter_rows(named=True):
        series, date, last = market["ticker"].split("-")
        named = "close_time" if series == "SYNBTC15M" else "open_time"
        local = market[named].astimezone(ZoneInfo("America/New_York"))
        assert date[:7] == f"{local:%y}MAY{local:%d}"
        if series == "SYNBTC15M":
            assert (date[7:], last) == (f"{local:%H%M}", f"{local:%M}")
        elif series == "SYNGAME":
            assert last in (date[7:10], date[10:])


# --- determinism ---------------------------------------------------------------------------------


def fingerprint(stored: Tables) -> str:
    digest = hashlib.sha256()
    for name in sorted(stored):
        digest.update(stored[name].write_json().encode())
    return digest.hexdigest()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_tables_and_another_seed_others() -> None:
    again = sample(0)
    for name, frame in tables().items():
        assert frame.equals(again[name])
    for name in ("candles", "trades", "references", "settlements"):
        assert not tables()[name].equals(tables(1)[name])


@pytest.mark.slow
def test_the_tables_do_not_depend_on_the_instructions_of_the_cpu() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_synthetic import fingerprint, sample, Planted\n"
        "print(fingerprint(sample(3, planted=Planted(0.2, 0.1, 1), days=1)))\n"
    )
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    plain = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "POLARS_MAX_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent), *sys.path],
        env=os.environ | plain,
        check=True,
        capture_output=True,
        text=True,
    )
    here = fingerprint(sample(3, planted=Planted(0.2, 0.1, 1), days=1))
    assert found.stdout.strip() == here


def test_streams_of_different_names_differ() -> None:
    names = [(s, n, e, p) for s in range(2) for n in range(4) for e in range(5) for p in range(4)]
    assert len({paths.stream(*name).random() for name in names}) == len(names)


def test_a_longer_sample_begins_with_the_shorter() -> None:
    short, long = sample(2, days=1), sample(2, days=6)
    for name in ("markets", "settlements", "candles", "trades"):
        rows = long[name].join(short["markets"].select("ticker"), on="ticker", how="semi")
        assert rows.equals(short[name])
    spot = long["references"]
    assert spot.head(short["references"].height).equals(short["references"])
    assert spot.height == 60 + 2 * 86_400


def test_a_plant_changes_quotes_and_nothing_that_was_true() -> None:
    planted = tables(0, Planted(0.4, 0.1, 1))
    for name in ("series", "markets", "settlements", "references"):
        assert planted[name].equals(tables()[name])
    assert not planted["candles"].equals(tables()["candles"])


@pytest.mark.parametrize(
    "values",
    [(1.0, 0.0, 0), (float("nan"), 0.0, 0), (0.0, -0.1, 0), (0.0, 0.3, 0), (0.0, 0.0, -1)],
)
def test_a_plant_out_of_range_is_refused(values: tuple[float, float, int]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Planted(*values)


@pytest.mark.parametrize(("seed", "days"), [(-1, 1), (2**63, 1), (0, 0), (0, 151)])
def test_a_seed_or_length_out_of_range_is_refused(seed: int, days: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        sample(seed, days=days)
    with pytest.raises(UsageError, match="expected"):
        truth(seed, days=days)


# --- settlement ----------------------------------------------------------------------------------


def test_quarter_hours_settle_by_the_averages_of_the_reference() -> None:
    stored = tables()
    spot = dict(stored["references"].select("time", pl.col("value")).iter_rows())

    def average(end: datetime) -> Decimal:
        window = [Decimal(str(spot[end - timedelta(seconds=back)])) for back in range(60)]
        return (sum(window) / 60).quantize(Decimal("0.01"), ROUND_HALF_UP)

    quarters = stored["markets"].filter(pl.col("series") == "SYNBTC15M")
    payouts = dict(stored["settlements"].select("ticker", "payout").iter_rows())
    results = dict(stored["settlements"].select("ticker", "result").iter_rows())
    assert quarters.height == 2 * 96
    for market in quarters.iter_rows(named=True):
        opening = average(market["open_time"])
        closing = average(market["close_time"])
        assert market["floor_strike"] == float(opening)
        assert payouts[market["ticker"]] == (10_000 if closing >= opening else 0)
        assert results[market["ticker"]] == ("yes" if closing >= opening else "no")
    assert 0.3 < np.mean([payouts[ticker] == 10_000 for ticker in quarters["ticker"]]) < 0.7


def test_a_tie_of_rounded_averages_pays_yes() -> None:
    flat = np.full(60 + 900, 5_000_000)
    tie = flat.copy()
    tie[-30:] -= 1  # a mean half a cent lower, rounded half up
    lost = flat.copy()
    lost[-31:] -= 1
    for spot, paid in ((flat, 1), (tie, 1), (lost, 0)):
        path, strike = paths.updown_truth(spot, 1e-4, 59)
        assert strike == 5_000_000
        assert path[0, -1] == paid


def test_ladders_have_one_yes_and_brackets_that_leave_no_degree_out() -> None:
    stored = tables()
    ladder = stored["markets"].filter(pl.col("series") == "SYNHIGH")
    paid = ladder.join(stored["settlements"], on="ticker").group_by("event")
    counts = paid.agg((pl.col("payout") == 10_000).sum().alias("yes"), pl.len())
    assert counts.height == 10
    assert set(counts["yes"]) == {1}
    assert set(counts["len"]) == {6}
    for _, event in ladder.group_by("event"):
        kinds = {row["strike_type"]: row for row in event.iter_rows(named=True)}
        inner = event.filter(pl.col("strike_type") == "between").sort("floor_strike")
        floors, caps = inner["floor_strike"].to_list(), inner["cap_strike"].to_list()
        assert [kinds["less"]["cap_strike"], *(cap + 1 for cap in caps)] == [
            *floors,
            kinds["greater"]["floor_strike"] + 1,
        ]
    assert ladder["mutually_exclusive"].all()


def test_games_pay_one_dollar_over_their_two_markets() -> None:
    stored = tables()
    games = stored["markets"].filter(pl.col("series") == "SYNGAME")
    paid = games.join(stored["settlements"], on="ticker").group_by("event")
    counts = paid.agg(pl.col("payout").cast(pl.Int64).sum(), pl.len())
    assert set(counts["payout"]) == {10_000}
    assert set(counts["len"]) == {2}
    assert counts.height == 59


def test_what_real_data_holds_is_there() -> None:
    stored = tables()
    candles, ended = stored["candles"], stored["settlements"]
    for series in SERIES:
        rows = candles.filter(pl.col("ticker").str.starts_with(series))
        untraded = rows.filter(pl.col("volume") == 0)
        assert untraded.height > 0
        assert untraded["price_close"].null_count() == untraded.height
        assert rows.filter(pl.col("volume") > 0)["price_close"].null_count() == 0
        for side in SIDES:
            other = pl.col("ask_close" if side == "bid" else "bid_close")
            undecided = rows.filter(other.is_between(2_000, 8_000))
            assert 0 < undecided[f"{side}_close"].null_count() < 0.05 * undecided.height
    lives = stored["markets"].join(ended, on="ticker", how="left", suffix="_real")
    early = lives.filter(pl.col("close_time_real") < pl.col("close_time"))
    assert early.filter(pl.col("result") != "scalar").height == 2
    scalar = ended.filter(pl.col("result") == "scalar")
    assert scalar["payout"].sum() == 10_000
    assert scalar["payout"].is_between(100, 9_900).all()
    assert lives.filter(pl.col("result").is_null()).height == 2


# --- quotes and trades ---------------------------------------------------------------------------


@pytest.mark.parametrize("planted", [FAIR, Planted(0.4, 0.1, 1)])
def test_every_price_is_on_its_tick_grid(planted: Planted) -> None:
    stored = tables(0, planted)
    columns = [f"{kind}_{part}" for kind in ("price", *SIDES) for part in schema.OHLC]
    crypto = pl.col("ticker").str.starts_with("SYNBTC15M")
    for rows, whole in (
        (stored["candles"].filter(crypto), False),
        (stored["candles"].filter(~crypto), True),
    ):
        prices = pl.concat([rows[column].drop_nulls() for column in columns])
        assert prices.is_between(1, 9_999).all()
        outside = (prices < 1_000) | (prices > 9_000)
        on_grid = prices % 100 == 0 if whole else outside & (prices % 10 == 0) | (prices % 100 == 0)
        assert on_grid.all()
        assert (prices % 100 == 0).all() == whole


@pytest.mark.parametrize("planted", [FAIR, Planted(0.4, 0.1, 1)])
def test_bids_stay_below_asks_and_ranges_hold_their_ends(planted: Planted) -> None:
    candles = tables(0, planted)["candles"]
    for part in schema.OHLC:
        assert (candles[f"bid_{part}"] < candles[f"ask_{part}"]).drop_nulls().all()
    for kind in ("price", *SIDES):
        low, high = candles[f"{kind}_low"], candles[f"{kind}_high"]
        for end in ("open", "close"):
            assert (low <= candles[f"{kind}_{end}"]).drop_nulls().all()
            assert (high >= candles[f"{kind}_{end}"]).drop_nulls().all()


def test_a_bar_opens_with_the_quotes_the_last_one_closed_with() -> None:
    candles = tables()["candles"]
    for side in SIDES:
        before = candles.with_columns(
            before=pl.col(f"{side}_close").shift(1).over("ticker"),
            first=pl.col("time") == pl.col("time").min().over("ticker"),
        ).filter(~pl.col("first"))
        assert before.select(pl.col("before").eq_missing(pl.col(f"{side}_open")).all()).item()
        assert before["before"].null_count() > 0


def test_bars_are_a_minute_apart_in_every_market() -> None:
    steps = tables()["candles"].select(pl.col("time").diff().over("ticker")).drop_nulls()
    assert steps["time"].unique().dt.total_seconds().to_list() == [60]


def test_trades_rebuild_the_candles() -> None:
    stored = tables()
    rebuilt = (
        stored["trades"]
        .sort("ticker", "time")
        .group_by("ticker", pl.col("time").dt.offset_by("-1us").dt.truncate("1m"))
        .agg(
            pl.col("price").first().alias("price_open"),
            pl.col("price").max().alias("price_high"),
            pl.col("price").min().alias("price_low"),
            pl.col("price").last().alias("price_close"),
            pl.col("quantity").sum().alias("volume"),
        )
        .with_columns(pl.col("time").dt.offset_by("1m"))
        .sort("ticker", "time")
    )
    traded = stored["candles"].filter(pl.col("volume") > 0).sort("ticker", "time")
    assert rebuilt.equals(traded.select(rebuilt.columns))


def test_takers_pay_the_ask_and_get_the_bid() -> None:
    stored = tables()
    trades = stored["trades"].with_columns(pl.col("time").dt.truncate("1m").dt.offset_by("1m"))
    bars = trades.join(stored["candles"], on=["ticker", "time"], how="left")
    bought, sold = (bars.filter(pl.col("taker_side") == side) for side in (1, -1))
    assert (bought["price"] >= bought["ask_low"]).all()
    assert (sold["price"] <= sold["bid_high"]).all()
    assert 0.45 < bought.height / bars.height < 0.55
    assert set(bars["taker_side"]) == {1, -1}


def test_open_interest_grows_by_no_more_than_the_volume() -> None:
    candles = tables()["candles"]
    grown = candles.with_columns(
        (pl.col("open_interest") - pl.col("open_interest").shift(1, fill_value=0)).over("ticker")
    )
    assert (grown["open_interest"] >= 0).all()
    assert (grown["open_interest"] <= grown["volume"]).all()
    assert grown["open_interest"].sum() > 0


# --- truth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spot", "strike", "left", "known", "expected"),
    [  # 0.5 a year of 365 days; arithmetic Brownian answers from the covariance of the 60 values
        (60_000, 60_060, 300, 0, 0.243255622),
        (60_000, 60_000, 900, 0, 0.5),
        (60_000, 60_020, 60, 0, 0.204172396),
        (60_010, 60_000, 30, 30 * 59_995.0, 0.6136004663),
        (60_030, 60_000, 1, 59 * 59_999.6, 0.8844277065),
    ],
)
def test_the_averaged_digital_gives_worked_probabilities(
    spot: float, strike: float, left: int, known: float, expected: float
) -> None:
    sigma = 0.5 / (365 * 86_400) ** 0.5
    found = paths.averaged_digital(
        np.array([float(spot)]), strike, sigma, np.array([left]), np.array([known])
    )
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_the_spread_of_the_average_is_its_covariance_summed() -> None:
    for left in (1, 7, 59, 60, 61, 400):
        seconds = range(max(left - 59, 1), left + 1)
        variance = sum(min(i, j) for i in seconds for j in seconds) / 3_600
        one_sd = 100 * 1e-4 * variance**0.5  # above the spot: Φ(−1)
        known = 100.0 * (60 - min(left, 60))
        found = paths.averaged_digital(
            np.array([100.0]), 100 + one_sd, 1e-4, np.array([left]), np.array([known])
        )
        assert found[0] == pytest.approx(0.15865525393145707, abs=1e-9)


def test_a_quarter_hour_does_not_know_its_future() -> None:
    spot, scales = paths.spot_walk(5, 1)
    path, strike = paths.updown_truth(spot, scales[0], 59)
    for step in (0, 30, 84, 87):
        later = spot.copy()
        later[59 + 10 * step + 1 :] += 100_000
        other, same_strike = paths.updown_truth(later, scales[0], 59)
        assert same_strike == strike
        assert (other[0, : step + 1] == path[0, : step + 1]).all()
        assert other[0, -1] == 1


def test_fair_quotes_stand_around_the_truth() -> None:
    candles, known = tables()["candles"], truth()
    assert known.select("ticker", "time").equals(candles.select("ticker", "time"))
    probability = 10_000 * known["probability"]
    assert (candles["bid_close"] - probability).max() < 1e-4
    assert (candles["ask_close"] - probability).min() > -1e-4


@pytest.mark.parametrize("series", SERIES)
def test_resting_a_tick_inside_a_fair_spread_does_not_pay(series: str) -> None:
    """Bought where a taker sells, one tick above the bid; worth the truth at the end of the bar."""
    stored = tables()
    known = truth().with_columns((10_000 * pl.col("probability")).alias("worth"))
    tapered = pl.lit(series == "SYNBTC15M") & ~pl.col("price").is_between(1_000, 9_000)
    sold = (
        stored["trades"]
        .filter(pl.col("taker_side") == -1, pl.col("ticker").str.starts_with(series))
        .with_columns(pl.col("time").dt.truncate("1m").dt.offset_by("1m"))
        .join(known, on=["ticker", "time"])
        .join(stored["markets"], on="ticker")
        .with_columns(tick=pl.when(tapered).then(10).otherwise(100))
    )
    gain = (pl.col("worth") - pl.col("price")) / pl.col("tick")
    assert sold.select(gain.mean()).item() > 0  # at the touch, where the queue is
    assert sold.select(gain.mean()).item() < 1
    assert clustered_z(sold, gain - 1) < 0


@pytest.mark.slow
@pytest.mark.parametrize("plant", [Planted(0.4), Planted(0.0, 0.1), Planted(stale_lag=1)])
def test_planted_quotes_do_not(plant: Planted) -> None:
    candles, probability = tables(0, plant)["candles"], 10_000 * truth()["probability"]
    assert (candles["bid_close"] - probability).max() > 300
    assert (candles["ask_close"] - probability).min() < -300


def test_truth_ends_as_the_payout_and_sums_to_one() -> None:
    stored, known = tables(), truth().join(tables()["markets"], on="ticker")
    last = known.group_by("ticker").agg(pl.col("probability").sort_by("time").last())
    played = stored["settlements"].filter(pl.col("result") != "scalar")
    ends = last.join(played, on="ticker").join(stored["markets"], on="ticker", suffix="_planned")
    whole = ends.filter(pl.col("close_time") == pl.col("close_time_planned"))
    assert (10_000 * whole["probability"] == whole["payout"]).all()
    assert whole.height == stored["markets"].height - 6
    exclusive = known.filter("mutually_exclusive").group_by("event", "time")
    assert (exclusive.agg(pl.col("probability").sum())["probability"] - 1).abs().max() < 1e-12


def test_a_cancelled_game_pays_its_last_probability_in_cents() -> None:
    scalar = tables()["settlements"].filter(pl.col("result") == "scalar")
    last = truth().join(scalar, left_on=["ticker", "time"], right_on=["ticker", "close_time"])
    assert last.height == 2
    assert (last["probability"] - last["payout"] / 10_000).abs().max() <= 0.005 + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_moves_of_the_truth_are_as_large_as_its_uncertainty(series: str) -> None:
    """For a martingale that ends at 0 or 1 the squared moves sum to p(1 − p) in the mean."""
    parts = []
    for seed in SEEDS:
        markets = tables(seed)["markets"].filter(pl.col("series") == series)
        settled = tables(seed)["settlements"].filter(pl.col("result") != "scalar")
        known = truth(seed).join(markets, on="ticker").join(settled, on="ticker")
        end = pl.col("payout").last() / 10_000
        p = pl.col("probability")
        parts.append(
            known.sort("time")
            .group_by("ticker")
            .agg(
                pl.col("event").first(),
                excess=(p.diff() ** 2).sum() + (end - p.last()) ** 2 - p.first() * (1 - p.first()),
            )
            .with_columns(pl.format("{}/{}", pl.lit(seed), "event").alias("event"))
        )
    assert abs(clustered_z(pl.concat(parts), pl.col("excess"))) < UNSURE


@pytest.mark.parametrize("build", [paths.game_truth, lambda *args: paths.ladder_truth(*args)[0]])
def test_short_paths_move_as_much_as_their_uncertainty(
    build: Callable[[np.random.Generator, int], paths.Floats],
) -> None:
    excess = []
    for event in range(1_500):
        p = build(paths.stream(7, 9, event, paths.TRUTH), 2)
        assert set(p[:, -1]) <= {0.0, 1.0}
        excess.append(((np.diff(p) ** 2).sum(axis=1) - p[:, 0] * (1 - p[:, 0])).sum())
    assert abs(np.mean(excess)) < UNSURE * np.std(excess) / len(excess) ** 0.5


# --- what is planted, and only that --------------------------------------------------------------

BUCKETS = ((0.0, 0.05), (0.05, 0.15), (0.15, 0.5), (0.5, 0.85), (0.85, 0.95), (0.95, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), BUCKETS)
def test_fair_prices_are_right_at_every_level(low: float, high: float) -> None:
    assert abs(calibration(FAIR, low, high)) < UNSURE


@pytest.mark.slow
def test_a_planted_longshot_bias_overprices_longshots_and_underprices_favourites() -> None:
    assert calibration(Planted(0.4), 0.05, 0.15) < -UNSURE
    assert calibration(Planted(0.4), 0.85, 0.95) > UNSURE


def test_longshot_bias_shrinks_the_log_odds() -> None:
    q = paths.quoted_probability(
        np.array([[0.0, 0.1, 0.5, 0.9, 1.0]]), Planted(0.5), paths.stream(0, 1, 0, paths.PLANT)
    )
    assert q[0] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=1e-12)  # odds 1/9 become 1/3


@pytest.mark.slow
@pytest.mark.parametrize("series", ["SYNGAME", "SYNHIGH"])
def test_prices_revert_where_that_is_planted_and_only_there(series: str) -> None:
    assert reversion(Planted(0.0, 0.1), series) < -UNSURE
    assert abs(reversion(FAIR, series)) < UNSURE


def test_a_planted_error_has_its_size_and_half_life() -> None:
    half = np.full((400, 60 * paths.STEPS + 1), 0.5)
    rng = paths.stream(0, 1, 0, paths.PLANT)
    error = paths.quoted_probability(half, Planted(0.0, 0.04), rng) - 0.5
    lag = paths.REVERSION_HALF_LIFE * paths.STEPS
    assert error.std() == pytest.approx(0.04, rel=0.05)
    assert np.corrcoef(error[:, 0], error[:, -1])[0, 1] == pytest.approx(0, abs=0.15)
    assert (error[:, :-lag] * error[:, lag:]).mean() / error.var() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("bars", [1, 2])
def test_quotes_follow_the_spot_late_by_the_planted_bars_only(bars: int) -> None:
    assert lead(Planted(stale_lag=bars), bars) > 0.7
    assert abs(lead(FAIR, bars)) < 0.1
    assert lead(FAIR, 0) > 0.7
