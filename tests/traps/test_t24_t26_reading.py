"""T24 cents, T25 tickers, T26 bars."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data.importers.becker_terms import scheduled, strikes
from kalshi_bt.data.kalshi.parse_cells import price
from kalshi_bt.data.panel import panel
from kalshi_bt.data.parts import series_of
from kalshi_bt.data.proxy import bars_from_trades
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.signals.event_reference import reference_vertical, vertical
from kalshi_bt.signals.expr import per_market
from kalshi_bt.signals.longshot import Longshot
from kalshi_bt.units import dollars
from tests.panel_rows import Row, at, filled, made_store, trade
from tests.quotes_random import flat

# --- T24 ------------------------------------------------------------------------------------------


def naive_cents(text: str) -> int:
    return int(float(text) * 100)


def test_t24_every_cent_survives_the_way_in_and_out() -> None:
    cents = range(1, 100)
    for cent in cents:
        text = f"{Decimal(cent) / 100:.4f}"
        assert price(text) == 100 * cent
        assert price(cent) == 100 * cent
    assert [c for c in cents if naive_cents(f"{c / 100:.4f}") != c] == [29, 57, 58]
    assert [naive_cents(text) for text in ("0.2900", "0.5700", "0.5800")] == [28, 56, 57]


def test_t24_every_centi_cent_is_the_nearest_float_and_comes_back() -> None:
    whole = pl.Series("p", range(10_001), dtype=schema.Price)
    told = whole.to_frame().select(dollars("p"))["p"]
    assert told.to_list() == [float(Decimal(p) / 10_000) for p in range(10_001)]
    back = (told * 10_000).round().cast(schema.Price)
    assert back.to_list() == whole.to_list()
    naive = (told * 10_000).cast(schema.Price)  # cuts
    assert (naive != whole).sum() > 100


# --- T25 ------------------------------------------------------------------------------------------

# Tickers of the exchange -> the scheduled close that is in them.
CLOSES = {
    "KXBTC15M-26FEB150330-30": "2026-02-15T08:30:00+00:00",  # Eastern standard time
    "KXSOL15M-26JUN160615-15": "2026-06-16T10:15:00+00:00",  # daylight time
    "KXSOL15M-26JUL132345-45": "2026-07-14T03:45:00+00:00",  # of another day already
    "KXETH15M-26MAR080130-30": "2026-03-08T06:30:00+00:00",  # before the clock goes forward
    "KXETH15M-26MAR080300-00": "2026-03-08T07:00:00+00:00",  # and after
}
NAIVE_CLOCK = re.compile(r"-(\d{2})([A-Z]{3})(\d{2})(\d{2})(\d{2})")


def naive_close(ticker: str) -> str | None:
    """Day, month and year, and the hour of London."""
    found = NAIVE_CLOCK.search(ticker)
    if found is None:
        return None
    try:
        wall = datetime.strptime("".join(found.groups()), "%d%b%y%H%M")  # noqa: DTZ007
    except ValueError:
        return None
    return wall.replace(tzinfo=UTC).isoformat()


def naive_strike(ticker: str) -> float:
    return float(ticker.rpartition("-")[2].lstrip("TB"))


def test_t25_the_clock_in_a_ticker_is_year_month_day_in_new_york() -> None:
    frame = pl.DataFrame({"ticker": list(CLOSES)}).with_columns(
        event=pl.col("ticker").str.replace(r"-\d+$", ""), ended=pl.lit(None, dtype=schema.Time)
    )
    found = frame.select(scheduled(pl.col("ended"))).to_series()
    assert [time.isoformat() for time in found] == list(CLOSES.values())
    assert all(naive_close(ticker) != close for ticker, close in CLOSES.items())


def test_t25_the_last_number_of_a_quarter_hour_is_a_minute() -> None:
    rows = [
        (
            "KXBTC15M-26FEB150330-30",
            "Target Price: $77,314.22",
            *("greater_or_equal", 77_314.22),
            None,
        ),
        ("KXBTCD-26FEB1517-T79499.99", "$79,500 or above", "greater", 79_499.99, None),
        ("KXBTC-26FEB1517-B101875", "$101,750 to 101,999.99", "between", 101_750.0, 101_999.99),
        ("KXHIGHTSFO-26MAR11-B67.5", "67° to 68°", "between", 67.0, 68.0),
        ("KXLOWTSFO-26APR27-T54", "55° or above", "greater", 54.0, None),
    ]
    frame = pl.DataFrame([row[:2] for row in rows], schema=["ticker", "subtitle"], orient="row")
    frame = frame.with_columns(event=pl.col("ticker").str.replace(r"-[^-]*$", ""))
    kind, floor, cap = strikes()
    found = frame.select(kind=kind, floor=floor, cap=cap).rows()
    assert found == [row[2:] for row in rows]
    naive = [naive_strike(ticker) for ticker, *_ in rows]
    assert naive[0] == 30.0
    assert naive[2] != found[2][1]  # the middle of a range is not its floor


@pytest.mark.slow
@pytest.mark.real
def test_t25_the_clocks_of_forty_thousand_tickers(real_data: Path) -> None:
    listed = pl.read_parquet(real_data / "crypto15m-2026" / "markets_15m.parquet")
    frame = listed.select(
        "ticker",
        "close_time",
        event=pl.col("ticker").str.replace(r"-\d+$", ""),
        ended=pl.lit(None, dtype=schema.Time),
    )
    found = frame.select("close_time", said=scheduled(pl.col("ended")))
    assert found.height > 40_000
    assert (found["close_time"] == found["said"]).all()
    naive = [naive_close(ticker) for ticker in frame["ticker"]]
    right = [time.isoformat() for time in frame["close_time"]]
    assert not any(a == b for a, b in zip(naive, right, strict=True))


def naive_category(text: str) -> str:
    words = {
        "weather": ("temp", "weather", "rain", "snow"),
        "sports": ("nba", "nfl", "mlb", "nhl", "soccer", "injury"),
        "crypto": ("btc", "bitcoin", "eth", "crypto", "sol"),
    }
    low = text.lower()
    return next((k for k, found in words.items() if any(w in low for w in found)), "other")


CATEGORIES = {
    "KXBTC15M-26FEB150330-30": "crypto",
    "KXHIGHNY-26FEB15-T38": "weather",
    "KXNBAGAME-25NOV08PHXLAL-PHX": "sports",
    "KXSOLARSTORM-26-G5": "other",  # sol
    "KXTRAINSTRIKE-26MAR": "other",  # rain
    "KXATTEMPTVETO-26": "other",  # temp
    "KXMETHODMARKET-26": "other",  # eth
}


def test_t25_a_category_is_that_of_the_series_not_of_letters_in_it() -> None:
    frame = pl.DataFrame({"ticker": list(CATEGORIES)}).with_columns(series=series_of("ticker"))
    assert frame.select(vertical(pl.col("series"))).to_series().to_list() == [*CATEGORIES.values()]
    naive = [naive_category(ticker) for ticker in CATEGORIES]
    assert naive == ["crypto", "other", "sports", "crypto", "weather", "weather", "crypto"]
    documented = frame.select(reference_vertical(pl.col("ticker"))).to_series().to_list()
    assert documented == naive


def test_t25_the_womens_league_is_another_series() -> None:
    games = [
        flat([None], ticker=f"{s}-26MAY04-A", series=s, bid=0.1, ask=0.9)
        for s in ("KXNBAGAME", "KXWNBAGAME")
    ]
    signal = Longshot(series="^KXNBA", min_price=0.5, min_depth=0.0)
    seen = signal.samples(pl.concat(games).lazy()).collect()["ticker"].unique().to_list()
    assert seen == ["KXNBAGAME-26MAY04-A"]
    assert all("NBA" in game["series"][0] for game in games)  # the naive filter takes both


# --- T26 ------------------------------------------------------------------------------------------


def naive_bars(rows: list[Row]) -> dict[tuple[str, int], list[int]]:
    """Open, high, low and close as trades arrive: late ones go into the bar that is open now."""
    found: dict[tuple[str, int], list[int]] = {}
    latest = 0
    for row in rows:
        minute = int((row["time"] - at(0)) / timedelta(minutes=1))
        latest = max(latest, minute)
        bar = found.setdefault((row["ticker"], latest), [row["price"]] * 4)
        bar[1], bar[2], bar[3] = max(bar[1], row["price"]), min(bar[2], row["price"]), row["price"]
    return found


def tape_of(count: int = 60) -> list[Row]:
    rng = np.random.Generator(np.random.Philox(26))
    minutes = np.sort(rng.uniform(0, 12, count))
    return [
        trade(f"{'AB'[n % 2]}-1", float(minute), 100 * int(rng.integers(30, 70)), (-1) ** n, n)
        for n, minute in enumerate(minutes)
    ]


def test_t26_bars_do_not_depend_on_the_order_in_which_trades_arrive(tmp_path: Path) -> None:
    rows = tape_of()
    rng = np.random.Generator(np.random.Philox(27))
    made, naive = [], []
    for name, order in (("in order", range(len(rows))), ("late", rng.permutation(len(rows)))):
        arrived = [rows[i] for i in order]
        store = made_store(tmp_path, {"trades": sorted(arrived[:40], key=_key)}, name)
        store.commit({"trades": filled(schema.TRADES, sorted(arrived[40:], key=_key))})
        found = panel(store, period=60, quotes="trades")
        made.append(found.quotes().collect())
        naive.append(naive_bars(arrived))
    assert made[0].height > 15
    assert made[0].equals(made[1])
    assert naive[0] != naive[1]


def _key(row: Row) -> tuple[Any, ...]:
    return row["ticker"], row["time"], row["trade_id"]


def test_t26_a_trade_at_the_very_end_belongs_to_the_bar_that_ends() -> None:
    rows = [trade("A-1", 0.5, 4_000, 1, 0), trade("A-1", 1.0, 4_100, 1, 1)]
    found = bars_from_trades(filled(schema.TRADES, rows), schema.MARKETS.empty(), 60)
    assert found.select("time", "price_close").rows() == [(at(1), 4_100)]
    assert len(naive_bars(rows)) == 2


def test_t26_an_empty_minute_is_a_minute() -> None:
    """A window of eight minutes over bars that are absent holds less than eight bars."""
    bars: list[Any] = [(0.50, 0.52, 0.48, 0.50), (0.50, 0.53, 0.47, 0.52)] * 8
    dip = (0.30, 0.31, 0.28, 0.29)
    whole = flat([*bars, *[None] * 20, dip])
    absent = whole.filter(pl.col("close").is_not_null())
    knows = Bollinger(period=8, reach=1, bar_seconds=60, min_time_to_close=0, min_rr=0.0)
    naive = Bollinger(period=8, reach=1, min_time_to_close=0, min_rr=0.0)
    said, skipped = (
        signal(absent.lazy()).collect().row(-1, named=True)["side"] for signal in (knows, naive)
    )
    complete = knows(whole.lazy()).collect().row(-1, named=True)["side"]
    assert said == complete
    assert said is None  # nothing traded for twenty minutes: there are no bands
    assert skipped == 1  # the bar before the gap passes for the minute before


def test_t26_windows_end_where_a_market_ends() -> None:
    rows = pl.concat([flat([(p, p, p, p)] * 5, ticker=t) for t, p in (("A", 0.2), ("B", 0.8))])
    close = pl.col("close").rolling_mean(3)
    ours = rows.select(per_market(close)).to_series()
    expected = [None, None, *[0.2] * 3, None, None, *[0.8] * 3]
    assert ours.round(9).to_list() == expected
    naive = rows.select(close).to_series()
    assert naive[5] == pytest.approx(0.4)  # two prices of A and one of B
