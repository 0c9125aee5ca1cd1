"""Bars that close on time are those the importer makes of the same messages afterwards."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from papered import Traded, agree, batch, planned

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.importers.ws_lines import recordings
from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from live_adapter.bars import Bars
from live_adapter.moments import BARS, Moment, Resumed, at, micros
from live_adapter.paper import PaperSession

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
START = micros(NOON)
SECOND = 1_000_000
COLUMNS = [name for name in BARS if name != "quote_source"]
Frame = dict[str, Any]
Sent = tuple[int, Frame]  # microseconds after NOON


def snapshot(ticker: str, seq: int, bid: int, ask: int) -> Frame:
    sides = {
        "yes_dollars_fp": [[f"{bid / 100:.4f}", "10.00"], [f"{(bid - 1) / 100:.4f}", "5.00"]],
        "no_dollars_fp": [[f"{1 - ask / 100:.4f}", "10.00"]],
    }
    inner = {"market_ticker": ticker, **sides}
    return {"type": "orderbook_snapshot", "sid": 1, "seq": seq, "msg": inner}


def delta(ticker: str, seq: int, side: str, cents: int, count: int) -> Frame:
    told = {"price_dollars": f"{cents / 100:.4f}", "delta_fp": f"{count}.00", "side": side}
    return {
        "type": "orderbook_delta", "sid": 1, "seq": seq, "msg": {"market_ticker": ticker, **told}
    }  # fmt: skip


def trade(ticker: str, number: int, cents: int) -> Frame:
    told = {
        "trade_id": f"t{number}", "yes_price_dollars": f"{cents / 100:.4f}", "count_fp": "3.00",
        "taker_side": "yes", "taker_book_side": "bid",
    }  # fmt: skip
    return {"type": "trade", "sid": 2, "msg": {"market_ticker": ticker, **told}}


def news(ticker: str, kind: str, **told: Any) -> Frame:
    inner = {"market_ticker": ticker, "event_type": kind, **told}
    return {"type": "market_lifecycle_v2", "sid": 3, "msg": inner}


def a_recording(seed: int, *, gaps: bool = True) -> list[Sent]:
    """Two markets for some minutes: trades, changes at and below the top, lost messages."""
    rng = np.random.Generator(np.random.Philox(seed))
    sent: list[Sent] = []
    close = START // SECOND + 240
    for name in ("KXA-26JUN01-A", "KXA-26JUN01-B"):
        facts = {"open_ts": START // SECOND - 60, "close_ts": close, "title": name}
        sent.append((0, news(name, "created", **facts)))
    time, seq = int(rng.integers(1, 20 * SECOND)), 0
    books: dict[str, dict[str, dict[int, int]]] = {}
    for number in range(int(rng.integers(60, 200))):
        # Quiet minutes, bursts in one microsecond, and messages at the very end of a bar.
        step = rng.choice([0, 1, 300_000, 2 * SECOND, 40 * SECOND], p=[0.2, 0.1, 0.5, 0.17, 0.03])
        step = int(step)
        if rng.random() < 0.05:
            step = -time % (15 * SECOND)
        time += step
        name = str(rng.choice(["KXA-26JUN01-A", "KXA-26JUN01-B"]))
        if rng.random() < 0.2:
            sent.append((time, trade(name, number % 50, int(rng.integers(30, 70)))))
            continue
        missing = gaps and rng.random() < 0.05 and 0 < step < SECOND
        # A loss is noticed in the bar it is in, else that bar is over before anybody knows.
        missing &= (time - step) // (15 * SECOND) == (time - 1) // (15 * SECOND)
        seq += 2 if missing else 1
        if missing:
            books.clear()
        if name not in books or rng.random() < 0.05:
            bid = int(rng.integers(30, 50))
            ask = bid + int(rng.integers(1, 9))
            books[name] = {"yes": {bid: 10, bid - 1: 5}, "no": {100 - ask: 10}}
            sent.append((time, snapshot(name, seq, bid, ask)))
            continue
        side = str(rng.choice(["yes", "no"]))
        own, other = books[name][side], books[name]["no" if side == "yes" else "yes"]
        limit = 99 - max(other, default=0)
        cents = int(rng.integers(max(1, limit - 12), limit + 1)) if limit >= 1 else 1
        if own and rng.random() < 0.4:
            cents = int(rng.choice(list(own)))
            count = -own.pop(cents)
        else:
            count = int(rng.integers(1, 9))
            own[cents] = own.get(cents, 0) + count
        sent.append((time, delta(name, seq, side, cents, count)))
    end = 241 * SECOND
    if rng.random() < 0.7 and time < end:
        for name in ("KXA-26JUN01-A", "KXA-26JUN01-B"):
            sent.append((end, news(name, "determined", determination_ts=close, result="yes")))
            sent.append((end + SECOND, news(name, "settled", settled_ts=close + 2)))
    return sent


def written(folder: Path, sent: Iterable[Sent]) -> Path:
    folder.mkdir()
    lines = [json.dumps({"recv_us": START + time, "event": frame}) for time, frame in sent]
    (folder / "frames.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def fed(made: Bars, sent: Iterable[Sent], *, until: int | None = None) -> list[Moment]:
    moments: list[Moment] = []
    for time, frame in sent:
        moments += made.take(at(START + time), frame)
    return moments if until is None else [*moments, *made.until(at(START + until))]


def bars_of(moments: Iterable[Moment]) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=dict(BARS)), *(moment.bars for moment in moments)]
    return pl.concat(frames).sort("ticker", "time")


def same_bars(found: pl.DataFrame, store: Store) -> None:
    stored = store.read("candles").select(COLUMNS)
    assert found.select(COLUMNS).equals(stored), f"{found}\n{stored}"


@pytest.mark.parametrize("seconds", [pytest.param(15, marks=pytest.mark.slow), 60])
def test_bars_equal_those_of_the_importer(seconds: int, tmp_path: Path) -> None:
    for seed in range(8):
        sent = a_recording(seed)
        source = written(tmp_path / f"{seed}", sent)
        import_ws([source], tmp_path / f"data{seed}", bar_seconds=seconds)
        moments = fed(Bars(seconds), sent, until=sent[-1][0] + 1)
        same_bars(bars_of(moments), Store.open(tmp_path / f"data{seed}"))


def test_what_is_told_of_markets_equals_what_is_imported(tmp_path: Path) -> None:
    sent = a_recording(3)
    import_ws([written(tmp_path / "source", sent)], tmp_path / "data")
    store = Store.open(tmp_path / "data")
    moments = fed(Bars(60), sent, until=sent[-1][0] + 10**9)
    assert store.read("settlements").height
    for table, name in {
        "markets": "listed", "settlements": "settled", "determinations": "determined",
        "series": "series",
    }.items():  # fmt: skip
        told = pl.concat([getattr(moment, name) for moment in moments])
        stored = store.read(table)
        assert told.sort(stored.columns[:2]).equals(stored), table
    times = [moment.time for moment in moments]
    assert times == sorted(set(times))


def test_bars_of_books_and_trades_alone(tmp_path: Path) -> None:
    """The panel makes the same bars of the stored books; it ends with a market's last row."""
    sent = a_recording(5)
    import_ws([written(tmp_path / "source", sent)], tmp_path / "data")
    made = panel(Store.open(tmp_path / "data"), period=15, quotes="books")
    names = pl.lit(made.markets["ticker"]).gather(pl.col("market"))
    stored = made.bars.with_columns(ticker=names).select(list(BARS)).sort("ticker", "time")
    found = bars_of(fed(Bars(15), sent, until=sent[-1][0] + 15 * SECOND))
    both = found.join(stored, on=["ticker", "time"], how="semi")
    assert both.equals(stored.join(both, on=["ticker", "time"], how="semi"))
    assert both.height > 10


def opened(bid: int = 40, ask: int = 45) -> list[Sent]:
    return [(SECOND, snapshot("S-E-A", 1, bid, ask))]


def quote(bars: pl.DataFrame) -> list[tuple[Any, ...]]:
    return bars.select(pl.col("time") - NOON, "bid_close", "ask_close", "volume").rows()


def test_quiet_bars_are_closed_by_the_clock_alone() -> None:
    moments = fed(Bars(60), opened(), until=180 * SECOND)
    minute = timedelta(minutes=1)
    # The third ends now: a message of this very microsecond would still belong to it.
    assert quote(bars_of(moments)) == [(n * minute, 4_000, 4_500, 0) for n in (1, 2)]


def test_a_late_message_counts_in_the_bar_that_is_open() -> None:
    made = Bars(60)
    fed(made, opened(), until=61 * SECOND)
    late = fed(made, [(59 * SECOND, delta("S-E-A", 2, "yes", 42, 5))], until=121 * SECOND)
    assert quote(bars_of(late)) == [(timedelta(minutes=2), 4_200, 4_500, 0)]
    assert bars_of(late)["bid_open"].to_list() == [4_000]
    assert made.counts["late"] == 1


def test_a_hole_leaves_bars_out_until_the_next_snapshot() -> None:
    made = Bars(60)
    moments = fed(made, opened(), until=61 * SECOND)
    moments += made.lose(at(START + 70 * SECOND))
    moments += fed(made, [(130 * SECOND, snapshot("S-E-A", 9, 41, 44))], until=241 * SECOND)
    whole = [told[0] // timedelta(minutes=1) for told in quote(bars_of(moments))]
    assert whole == [1, 4]


def test_trades_stand_in_where_no_book_is_sent() -> None:
    made = Bars(60, booked=False, half_spread=100)
    bars = bars_of(fed(made, [(SECOND, trade("S-E-A", 1, 50))], until=61 * SECOND))
    assert bars["quote_source"].to_list() == ["assumed"]
    assert quote(bars) == [(timedelta(minutes=1), 4_900, 5_100, 300)]
    booked = Bars(60)
    assert bars_of(fed(booked, [(SECOND, trade("S-E-A", 1, 50))], until=61 * SECOND)).is_empty()


def test_a_market_is_listed_once_it_is_described_and_not_when_it_is_activated() -> None:
    """Whoever trades keeps the row that was listed: it must have the close and the strike."""
    facts = {
        "open_ts": START // SECOND,
        "close_ts": START // SECOND + 900,
        "floor_strike": Decimal("65.5"),
    }
    sent = [
        (SECOND, news("S-E-A", "activated")),
        (90 * SECOND, news("S-E-A", "created", strike_type="greater", **facts)),
    ]
    moments = fed(Bars(60), sent, until=200 * SECOND)
    [listed] = [moment.listed for moment in moments if moment.listed.height]
    told = listed.select("ticker", "close_time", "floor_strike").rows()
    assert told == [("S-E-A", NOON + timedelta(minutes=15), 65.5)]


def test_a_strike_that_is_told_when_a_window_opens_is_told_of_a_market_that_is_listed() -> None:
    facts = {"open_ts": START // SECOND, "close_ts": START // SECOND + 900, "title": "up?"}
    strike = {"strike_type": "greater", "floor_strike": "101.5"}
    sent = [(0, news("S-E-A", "created", **facts)), *opened()]
    sent += [(30 * SECOND, news("S-E-A", "metadata_updated", **strike))]
    sent += [(90 * SECOND, news("S-E-A", "metadata_updated", **strike))]
    listed = [m.listed for m in fed(Bars(60), sent, until=300 * SECOND) if m.listed.height]
    assert [rows["floor_strike"].to_list() for rows in listed] == [[None], [101.5]]


def test_a_market_that_had_closed_before_a_session_went_on_has_no_bars() -> None:
    made = Bars(60)
    made.adopt(Resumed(closes={"S-E-A": NOON + timedelta(seconds=60)}))
    times = bars_of(fed(made, opened(), until=300 * SECOND))["time"].to_list()
    assert times == [NOON + timedelta(seconds=60)]


def test_news_of_other_series_are_passed_over() -> None:
    made = Bars(60, series=("KXB",))
    other = news("KXA-26JUN01-A", "created", open_ts=START // SECOND, close_ts=START // SECOND + 9)
    assert not fed(made, [(1, other)], until=10 * SECOND)


def windows(count: int) -> Iterator[Sent]:
    """A series of markets of fifteen minutes, one after the other, each announced before."""
    seq = 0
    for window in range(count):
        name, begin = f"KXR-{window:05}-A", window * 900 * SECOND
        close = START // SECOND + (window + 1) * 900
        yield begin - 10 * SECOND, news(name, "created", open_ts=close - 900, close_ts=close)
        for step in range(1, 30):
            seq += 1
            time = begin + step * 29 * SECOND
            if step == 1:
                yield time, snapshot(name, seq, 40 + window % 9, 55)
            else:
                yield time, delta(name, seq, "yes", 30, 1)
        yield (
            begin + 900 * SECOND + 1,
            news(name, "determined", determination_ts=close, result="yes"),
        )
        yield begin + 901 * SECOND, news(name, "settled", settled_ts=close + 1)


def test_a_series_hands_over_and_what_is_over_is_forgotten() -> None:
    """Every window has its bars from before its open on; old ones leave nothing behind."""
    made, sizes, moments = Bars(300), [], []
    for time, frame in windows(12):
        moments += made.take(at(START + time), frame)
        sizes.append(len(made._registry._news) + len(made._fold.books) + made._state.height)
    listed = [name for moment in moments for name in moment.listed["ticker"]]
    assert listed == [f"KXR-{window:05}-A" for window in range(12)]
    first = bars_of(moments).group_by("ticker").agg(pl.col("time").min()).sort("ticker")
    opens = [at(START + (window * 900 + 300) * SECOND) for window in range(12)]
    assert first["time"].to_list() == opens
    assert max(sizes) < 20  # an hour of windows, not three
    assert sum(moment.settled.height for moment in moments) >= 11


def test_a_market_that_was_paid_is_not_forgotten_between_two_of_its_bars() -> None:
    """Paid before it closed, as a clock that lags has it; its last bar is that of its close."""
    name, other, hour = "KXR-00000-A", "KXR-00001-A", 3_600
    close = START // SECOND + 2 * hour
    facts = {"open_ts": START // SECOND - hour, "close_ts": close}
    made = Bars(hour)
    sent: list[Sent] = [(0, news(name, "created", **facts)), (1, snapshot(name, 1, 40, 55))]
    sent += [(2_640 * SECOND, news(name, kind, result="yes")) for kind in ("determined", "settled")]
    moments = fed(made, sent)
    at_close = datetime.fromtimestamp(close, UTC).isoformat()
    told = {"ticker": name, "event_ticker": "KXR-00000", "status": "finalized", "result": "yes"}
    told |= {"settlement_value_dollars": "1.0000", "settlement_ts": at_close}
    told |= {"open_time": "2026-06-01T11:00:00Z", "close_time": at_close}
    moments += made.describe(at(START + 2_650 * SECOND), {"markets": [told]})
    late = (2 * hour + 125) * SECOND
    sent = [(late, news(other, "created", **facts)), (late + SECOND, snapshot(name, 2, 40, 55))]
    moments += fed(made, sent)
    moments += made.until(at(START + 4 * hour * SECOND + 1))
    bars = bars_of(moments).filter(ticker=name)["time"].to_list()
    assert bars == [NOON + timedelta(hours=1), NOON + timedelta(hours=2)]


# --- recorded -------------------------------------------------------------------------------------

GOLD = ("KXGOLD15M-26AUG101800-00", "KXGOLD15M-26AUG102130-30", "KXGOLD15M-26AUG102200-00")


def recorded(folder: Path, name: str, seconds: int) -> list[Moment]:
    """Feed one recording to the settlement, its market described before the first message."""
    found, _ = recordings([folder / "events" / name])
    text = (folder / "metadata" / f"{name.rpartition('-')[0]}.json").read_text()
    made = Bars(seconds, whole=not found[0].cut())
    moments: list[Moment] = []
    last = None
    for line in found[0].lines(lambda _: None):
        assert line.time is not None
        if last is None:
            moments += made.describe(at(line.time), json.loads(text, parse_float=Decimal))
        moments += made.take(at(line.time), line.frame)
        last = line.time
    assert last is not None
    return [*moments, *made.until(at(last + 86_400 * SECOND))]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [15, 60])
@pytest.mark.parametrize("name", GOLD)
def test_recorded_gold_makes_the_bars_of_its_import(
    real_data: Path, name: str, seconds: int, tmp_path: Path
) -> None:
    folder = real_data / "gold15m-ws"
    sources = [folder / "events" / name, folder / "metadata" / f"{name.rpartition('-')[0]}.json"]
    import_ws(sources, tmp_path / "data", bar_seconds=seconds)
    moments = recorded(folder, name, seconds)
    bars = bars_of(moments)
    same_bars(bars, Store.open(tmp_path / "data"))
    assert not (bars["bid_close"] >= bars["ask_close"]).any()

    plan = planned(
        "mean_reversion", tmp_path / "data",
        ("on=price", f"reach_seconds={30 * seconds}", "min_t=0", "fallback=true", "min_z=0.3",
         "sizing.min_edge=0", "least=3", "lookback_seconds=120", "min_left=0"),
    )  # fmt: skip
    done = compute(Store.open(tmp_path / "data"), plan)
    session = PaperSession(tmp_path / "paper", plan, seconds)
    for moment in moments:
        session.take(moment)
    agree(batch(done), Traded.on_paper(session.broker.end(), session.broker.rules.cash))
    if seconds == 15:
        assert done.base.fills.height


@pytest.mark.real
def test_recorded_bitcoin_makes_the_bars_of_its_import(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "rest-fixtures" / "ws-frames-btc-2026-04" / "kalshi_ws_frames.jsonl"
    import_ws([source], tmp_path / "data", bar_seconds=15)
    found, _ = recordings([source])
    made, moments, last = Bars(15, whole=not found[0].cut()), [], 0
    for line in found[0].lines(lambda _: None):
        last = line.time if line.time is not None else last
        moments += made.take(at(last), line.frame)
    moments += made.until(at(last + 1))
    same_bars(bars_of(moments), Store.open(tmp_path / "data"))


def test_numbers_of_a_connection_that_ended_say_nothing_of_the_next_one() -> None:
    """Subscriptions count from 1 again, under numbers that others had before."""
    made = Bars(60)
    sent = [
        (1, trade("KXA-26JUN01-A", 1, 45) | {"seq": 9}),
        (3, snapshot("KXA-26JUN01-A", 1, 44, 46)),
    ]
    answer = {"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}}
    moments: list[Moment] = []
    for time, frame in [*sent, (4, answer), (61, trade("KXA-26JUN01-A", 2, 45))]:
        if time == 3:
            moments += made.lose(at(START + 2 * SECOND))
        moments += made.take(at(START + time * SECOND), frame)
    assert [m.bars["bid_close"].to_list() for m in moments if m.bars.height] == [[4_400]]
