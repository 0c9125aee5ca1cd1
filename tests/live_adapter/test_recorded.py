"""Raw frames are told again as they came, with numbers of their own."""

import json
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from stream_lines import frames, write

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from live_adapter.exchange.recorded import Recorded

Json = dict[str, Any]
T = 1_767_614_400_000_000


def book(seq: int, yes: Any, no: Any, ticker: str = "S-E-A", **more: Any) -> Json:
    sides = {"yes_dollars_fp": yes, "no_dollars_fp": no}
    return {"type": "orderbook_snapshot", "sid": 9, "seq": seq,
            "msg": {"market_ticker": ticker, **sides, **more}}  # fmt: skip


def change(seq: int, side: str, price: str, by: str, ticker: str = "S-E-A") -> Json:
    said = {"market_ticker": ticker, "side": side, "price_dollars": price, "delta_fp": by}
    return {"type": "orderbook_delta", "sid": 9, "seq": seq, "msg": said}


def trade(seq: int, name: str) -> Json:
    said = {"market_ticker": "S-E-A", "trade_id": name, "yes_price_dollars": "0.4500"}
    said |= {"count_fp": "1.00", "taker_side": "yes"}
    return {"type": "trade", "sid": 4, "seq": seq, "msg": said}


def recording(folder: Path, *found: Json) -> Path:
    return write(folder / "frames.jsonl", [(T + n * 1_000, frame) for n, frame in enumerate(found)])


FEW = (
    {"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": 9}},
    book(51, [["0.4000", "5.00"]], [["0.5500", "7.00"]], more={"kept": [1.5, None]}),
    change(52, "no", "0.5600", "2.50"),
    {"type": "ok", "sid": 9, "seq": 53, "id": 4, "msg": {}},
    trade(12, "a"),
    change(54, "yes", "0.4000", "-5.00"),
)


def test_bodies_are_the_same_at_their_times_and_numbers_begin_at_one(tmp_path: Path) -> None:
    told = list(frames(Recorded(recording(tmp_path, *FEW))))
    mine = [n for n, frame in enumerate(FEW) if frame["type"] not in {"subscribed", "ok"}]
    assert [(time, f["type"], f["msg"]) for time, f in told] == [
        (T + n * 1_000, FEW[n]["type"], FEW[n]["msg"]) for n in mine
    ]
    assert [(f["sid"], f["seq"]) for _, f in told] == [(1, 1), (1, 2), (2, 1), (1, 3)]
    assert [f["sending_ts_ms"] for _, f in told] == [T // 1_000 + n for n in mine]


@pytest.mark.parametrize("yes_prices", [False, True])
def test_whoever_asks_for_prices_of_yes_gets_them(tmp_path: Path, yes_prices: Any) -> None:
    fold = Fold(yes_prices=yes_prices)
    for _, frame in frames(Recorded(recording(tmp_path, *FEW[:3])), yes_prices=yes_prices):
        fold.apply(frame)
    assert fold.books["S-E-A"].asks.levels() == [(4_400, 250), (4_500, 700)]
    assert fold.books["S-E-A"].bids.levels() == [(4_000, 500)]


def test_shapes_of_other_years_are_told_as_they_are(tmp_path: Path) -> None:
    old = {"market_ticker": "S-E-A", "yes": [[40, 5]], "no": [[55, 7]]}
    moved = {"market_ticker": "S-E-A", "side": "no", "price": 55, "delta": -3}
    found = [
        {"type": "orderbook_snapshot", "sid": 1, "seq": 1, "msg": old},
        {"type": "orderbook_delta", "sid": 1, "seq": 2, "msg": moved},
    ]
    path = recording(tmp_path, *found)
    assert [f["msg"] for _, f in frames(Recorded(path))] == [old, moved]
    # Who comes later is given a book in the present shape.
    late = frames(Recorded(path), now=T + 500, yes_prices=True)
    assert [f["msg"]["price_dollars"] for _, f in late] == ["0.4500"]


def test_lost_messages_stay_lost(tmp_path: Path) -> None:
    gap = [book(1, [["0.4000", "5.00"]], []), change(5, "yes", "0.4100", "1.00"), trade(7, "a")]
    fold = Fold()
    told = list(frames(Recorded(recording(tmp_path, *gap))))
    assert [f["seq"] for _, f in told] == [1, 3, 1]
    assert [fold.apply(f).lost for _, f in told] == [(), ("S-E-A",), ()]
    restart = [book(9, [["0.4000", "5.00"]], []), book(1, [["0.4000", "6.00"]], [])]
    told = list(frames(Recorded(recording(tmp_path, *restart))))
    assert [f["seq"] for _, f in told] == [1, 3]


def test_numbers_of_a_market_cut_out_of_a_recording_say_nothing_of_loss(tmp_path: Path) -> None:
    folder = tmp_path / "S-E-A"
    folder.mkdir()
    cut = [book(1, [["0.4000", "5.00"]], []), change(500, "yes", "0.4100", "1.00")]
    assert [f["seq"] for _, f in frames(Recorded(recording(folder, *cut)))] == [1, 2]


def test_a_message_that_cannot_be_read_is_told_as_it_is(tmp_path: Path) -> None:
    bad = change(2, "yes", "none", "1.00")
    found = [book(1, [["0.4000", "5.00"]], []), bad, change(3, "yes", "0.4000", "1.00")]
    told = [f["msg"] for _, f in frames(Recorded(recording(tmp_path, *found)))]
    assert told == [frame["msg"] for frame in found]


def test_recordings_of_several_folders_are_told_together(tmp_path: Path) -> None:
    for number, ticker in enumerate(("S-E-A", "S-E-B")):
        (tmp_path / ticker).mkdir()
        found = [(T + n * 2_000 + number * 1_000, change(n + 1, "yes", "0.4000", "1.00", ticker))
                 for n in range(2)]  # fmt: skip
        write(tmp_path / ticker / "frames.jsonl", found)
    told = [f["msg"]["market_ticker"] for _, f in frames(Recorded(tmp_path))]
    assert told == ["S-E-A", "S-E-B"] * 2


def test_where_no_receive_time_was_kept_that_of_the_exchange_counts(tmp_path: Path) -> None:
    bodies = [{"ts_ms": 1_500}, {"ts": 2}, {"ts": "1970-01-01T00:00:03Z"}, {}]
    found = [{"type": "trade", "sid": 1, "seq": n, "msg": b} for n, b in enumerate(bodies)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, found)))
    times = [time for time, _ in frames(Recorded(tmp_path))]
    assert times == [1_500_000, 2_000_000, 3_000_000, 3_000_000]


def test_what_holds_no_message_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to play"):
        Recorded(recording(tmp_path, FEW[0]))
    with pytest.raises(DataError, match="does not exist"):
        Recorded(tmp_path / "absent")


@pytest.mark.real
@pytest.mark.slow
def test_a_real_recording_makes_the_same_dataset_when_it_is_recorded_again(
    real_data: Path, tmp_path: Path
) -> None:
    folder = real_data / "gold15m-ws" / "events" / "KXGOLD15M-26AUG050000-00"
    again = tmp_path / folder.name  # still one market of a larger recording
    again.mkdir()
    write(again / "frames.jsonl", frames(Recorded(folder)))
    stores = []
    for number, path in enumerate((folder, again)):
        into = tmp_path / f"dataset-{number}"
        import_ws([path], into)
        stores.append(Store.open(into))
    for name in ("books", "trades", "candles"):
        assert_frame_equal(*(store.read(name) for store in stores))
    assert stores[0].read("books").height > 10_000
