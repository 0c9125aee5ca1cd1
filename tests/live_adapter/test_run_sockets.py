"""The command against a local exchange, over REST and a WebSocket."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_bt.data.store import Store
from kalshi_bt.terminal import invoke
from live_adapter.log import MomentLog
from live_adapter.run import app
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.slow


def test_a_session_watches_an_exchange_records_it_and_the_recording_tells_the_same_bars(
    one_day: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in os.environ:
        if name.startswith(("KALSHI_", "EXECUTION_", "PAPER_")):
            monkeypatch.delenv(name)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    monkeypatch.setenv("KALSHI_API_KEY_ID", "a-key")
    monkeypatch.setenv("KALSHI_PRIVATE_KEY_FILE", str(tmp_path / "key.pem"))
    store = Store.open(one_day)
    begin = store.read("markets").filter(series="SYNHIGH")["open_time"].min()
    given = ["--strategy", "bollinger", "--series", "SYNHIGH", "--bar", "60s", "--json"]
    given += ["--set", "live.clock=exchange"]
    with Exchange(store, now=begin, speed=120.0) as exchange:
        places = ["--base-url", exchange.url, "--ws-url", exchange.ws]
        more = ["--record", str(tmp_path / "frames")]
        out = ["--out", str(tmp_path / "live"), "--for", "8s"]
        assert invoke(app, [*given, *places, *more, *out]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state_day"] == f"{begin:%Y-%m-%d}"
    assert told["feed"] == {"up": 1, "down": 0, "hole": 0}
    spans = told["decision_latency_ms"], told["decision_work_ms"]
    assert all(0 < span["p50"] <= span["p99"] <= span["max"] for span in spans)
    logged = [json.loads(x) for x in (tmp_path / "live" / "log.jsonl").read_text().splitlines()]
    events = [line["event"] for line in logged]
    assert (events[0], events[-1]) == ("session_start", "session_end")
    assert {"connection_up", "subscribed", "markets_watched", "markets_listed"} <= {*events}
    assert pem.decode().splitlines()[1] not in json.dumps(logged)
    live = {m.time: m.bars for m, _ in MomentLog(tmp_path / "live") if m.bars.height}
    assert len(live) > 3
    assert spans[0]["count"] == len(live)
    assert set().union(*(set(bars["ticker"]) for bars in live.values()))
    played = ["--replay", str(tmp_path / "frames"), "--out", str(tmp_path / "played"), "--once"]
    assert invoke(app, [*given, *played]) == 0
    again = {m.time: m.bars for m, _ in MomentLog(tmp_path / "played") if m.bars.height}
    both = sorted(live.keys() & again.keys())
    assert len(both) >= len(live) - 2
    columns = ["ticker", "bid_close", "ask_close"]
    for time in both[1:-1]:
        assert live[time].select(columns).equals(again[time].select(columns)), time
