"""Progress in a log: enough lines to see that it goes on, and not more."""

from kalshi_bt.data.progress import Progress
from kalshi_bt.progress import lines, pace


def test_a_log_gets_a_line_at_the_start_now_and_then_and_at_the_end() -> None:
    said: list[str] = []
    now = 0.0
    show = lines(said.append, lambda: now)
    for done in range(26):
        now = float(done)
        show(Progress("candles", done, 25, rows=100 * done))
    assert said == [
        "candles: 0 of 25, 0 rows",
        "candles: 10 of 25, 1,000 rows, 1.0/s, 15 s left",
        "candles: 20 of 25, 2,000 rows, 1.0/s, 5 s left",
        "candles: 25 of 25, 2,500 rows, 1.0/s",
    ]


def test_jobs_are_timed_apart() -> None:
    said: list[str] = []
    now = 0.0
    show = lines(said.append, lambda: now)
    show(Progress("markets", 0, 2))
    now = 4.0
    show(Progress("trades", 1, None, rows=7))
    show(Progress("markets", 2, 2, rows=9))
    assert said[1:] == ["trades: 1, 7 rows", "markets: 2 of 2, 9 rows, 0.5/s"]


def test_without_a_total_nothing_is_left() -> None:
    assert pace(Progress("trades", 10, rows=5), 2.0) == "5 rows, 5.0/s"
