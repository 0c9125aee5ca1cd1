"""The sandbox as a command: where it listens on its first line, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stream_watcher import watching

from kalshi_bt.data.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def started(*words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "live_adapter.sandbox", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_it_serves_until_interrupted_and_ends_with_one_line(dataset: Store) -> None:
    options = ("--now", "2026-05-04T12:00:00Z", "--cutoff", "2026-05-04T08:00:00+00:00")
    faults = ("--fault", "500:first=1,path=/series", "--fault", "unknown:path=/series/*")
    with started("--data", dataset.root, *options, *faults) as running:
        assert running.stdout is not None
        try:
            url, stream = json.loads(running.stdout.readline()).values()
            with watching(stream) as watcher:
                assert watcher.ask("list_subscriptions") == [{"type": "ok", "msg": []}]
            assert url.startswith("http://127.0.0.1:")
            assert url.endswith("/trade-api/v2")
            cutoff = httpx.get(f"{url}/historical/cutoff").json()["market_settled_ts"]
            assert cutoff == "2026-05-04T08:00:00Z"
            assert [httpx.get(f"{url}/series").status_code for _ in range(2)] == [500, 200]
            assert "sandbox_unknown" in httpx.get(f"{url}/series/SYNHIGH").json()["series"]
        finally:
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("interrupted")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fault", "slw"), "unknown fault 'slw'; did you mean 'slow'?"),
        (("--now", "noon"), "'noon' is not a time, such as 2026-05-05T04:00:00Z"),
        (("--now", "2026-05-04T12:00:00"), "has no time zone; append Z for UTC"),
        (("--shape", "euros"), "unknown shape 'euros'"),
        (("--overlap", "1y"), "'1y' is not a duration"),
        (("--key", "absent.pem"), "absent.pem holds no public key in PEM"),
        (("--port", "70000"), "cannot listen at 127.0.0.1:70000"),
        (("--prt", "1"), "did you mean --port?"),
        (("--speed", "0"), "speed '0' is no positive number, nor max"),
        (("--speed", "fast"), "speed 'fast' is no positive number, nor max"),
        (("--ws-port", "70000"), "cannot listen at 127.0.0.1:70000"),
        (("--synthetic", "rate=5"), "give either --data or --synthetic"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_two(
    dataset: Store, capsys: pytest.CaptureFixture[str], options: Any, message: str
) -> None:
    from kalshi_bt.terminal import invoke
    from live_adapter.sandbox import app

    assert invoke(app, ["--data", str(dataset.root), *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_nothing_to_serve_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from kalshi_bt.terminal import invoke
    from live_adapter.sandbox import app

    assert invoke(app, []) == 2
    assert "give either --data or --synthetic" in capsys.readouterr().err
    assert invoke(app, ["--synthetic", "rte=5"]) == 2
    assert "did you mean 'rate'?" in capsys.readouterr().err


class Over:
    """What the command waits for, when somebody presses Ctrl-C at once."""

    def wait(self) -> None:
        raise KeyboardInterrupt


def test_a_load_needs_no_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kalshi_bt.terminal import invoke
    from live_adapter import sandbox

    monkeypatch.setattr(sandbox, "Event", Over)
    assert invoke(sandbox.app, ["--synthetic", "markets=1,rate=5"]) == 130
    assert json.loads(capsys.readouterr().out).keys() == {"rest", "ws"}


def served(*words: object, end: int = signal.SIGINT) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a sandbox while it runs."""
    with started(*words) as running:
        assert running.stdout is not None
        try:
            yield tuple(json.loads(running.stdout.readline()).values())
        finally:
            running.send_signal(end)
            running.communicate(timeout=60)
    assert running.returncode == 130


def test_a_load_is_made_up_as_fast_as_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for rest, stream in served("--synthetic", "markets=3,rate=100", "--speed", "max"):
        found = httpx.get(f"{rest}/markets").json()["markets"]
        assert [market["status"] for market in found] == ["active"] * 3
        tickers = [market["ticker"] for market in found]
        with watching(stream, close_timeout=0.1) as watcher:  # it leaves with messages on the way
            params = {"channels": ["orderbook_delta"], "market_tickers": tickers}
            watcher.socket.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
            frames = [json.loads(watcher.socket.recv(timeout=30)) for _ in range(2_000)]
        assert [frame.get("seq") for frame in frames[1:]] == list(range(1, 2_000))
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())  # what it made for that is gone


def test_a_recording_is_served_with_what_it_tells_of_its_markets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    msg = {"market_ticker": "S-E-A", "yes_dollars_fp": [["0.4500", "10.00"]]}
    second = {"market_ticker": "S-E-A", "side": "yes", "price_dollars": "0.4500"}
    frames = [
        {"type": "orderbook_snapshot", "sid": 7, "seq": 70, "msg": msg},
        {"type": "orderbook_delta", "sid": 7, "seq": 71, "msg": {**second, "delta_fp": "1.00"}},
    ]
    lines = [
        json.dumps({"recv_us": 1_767_614_400_000_000 + n, "raw": json.dumps(frame)})
        for n, frame in enumerate(frames)
    ]
    (tmp_path / "frames.jsonl").write_text("\n".join(lines))
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    told = ("--data", tmp_path / "frames.jsonl", "--speed", "max")
    for rest, stream in served(*told, end=signal.SIGTERM):
        (market,) = httpx.get(f"{rest}/markets").json()["markets"]
        assert market["ticker"] == "S-E-A"
        with watching(stream) as watcher:
            params = {"channels": ["orderbook_delta"], "market_ticker": "S-E-A"}
            watcher.socket.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
            found = [json.loads(watcher.socket.recv(timeout=30)) for _ in range(3)][1:]
        assert [(f["seq"], f["msg"]) for f in found] == [
            (n, frame["msg"]) for n, frame in enumerate(frames, 1)
        ]
    assert not list(made.iterdir())


def test_a_folder_without_a_dataset_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kalshi_bt.terminal import invoke
    from live_adapter.sandbox import app

    assert invoke(app, ["--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert str(tmp_path) in err
    assert err.count("\n") == 1


def test_the_exchange_shares_no_code_with_its_client(command: Any) -> None:
    done = command(
        "-c",
        "import sys, live_adapter.sandbox; "
        "print(sorted(m for m in sys.modules if m.startswith('kalshi_bt')))",
    )
    assert done.returncode == 0, done.stderr
    assert "kalshi_bt.data.store" in done.stdout
    assert "kalshi_bt.data.kalshi" not in done.stdout
    assert "kalshi_bt.simulator" not in done.stdout
