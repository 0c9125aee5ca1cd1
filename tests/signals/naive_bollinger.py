"""The Bollinger signal bar by bar, in plain Python with fractions; borrows nothing."""

import math
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from typing import Any

from tests.signals.naive_wilder import confirms

UNIT = 20_000  # prices are whole numbers of half a ten-thousandth of a dollar
Row = dict[str, Any]
Bar = dict[str, Any]
Options = dict[str, Any]


def setups(rows: list[Row], **options: Any) -> dict[tuple[str, Any], Row]:
    """Return {(ticker, time): set-up} from rows in any order, all parameters given."""
    markets: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        markets.setdefault(row["ticker"], []).append(row)
    found = {}
    for ticker, own in markets.items():
        for row, bar, closes, recent in windows(own, options):
            setup = judge(row, bar, closes, options)
            if setup is not None and confirms(setup["side"], recent, options):
                found[ticker, row["time"]] = setup
    return found


def windows(
    rows: list[Row], options: Options
) -> Iterator[tuple[Row, Bar, list[Fraction], list[Bar]]]:
    """Yield row, bar, the closes of its window and the bars behind it, for each bar with both."""
    n, mode, reach = options["period"], options["empty_bar"], options["reach"] * options["period"]
    bars: list[Bar] = []  # one an interval, empty without a trade
    numbers: list[int] = []  # the row of each
    before = None
    for number, row in enumerate(rows):
        if before is not None and options["bar_seconds"] and mode != "skip":
            gap = (row["time"] - before) // timedelta(seconds=options["bar_seconds"])
            bars.extend([{}] * (gap - 1))
            numbers.extend([-1] * (gap - 1))
        before = row["time"]
        bar = made_of(row, options["price"])
        if bar or mode != "skip":
            bars.append(bar)
            numbers.append(number)
    for j, bar in enumerate(bars):
        first = j - n + 1 if options["include_signal_bar"] else j - n
        if not bar or first < 0:
            continue
        window = bars[first : first + n]
        if mode == "ffill":
            traded = [i for i in range(first + 1) if bars[i]]
            if not traded or j - traded[-1] > reach:
                continue
            last = bars[traded[-1]]
            for i, held in enumerate(window):
                last = window[i] = held or last
        if all(window) and (mode != "skip" or numbers[j] - numbers[first] <= reach):
            behind = [
                held
                for i, held in enumerate(bars[: j + 1])
                if (numbers[j] - numbers[i] if mode == "skip" else j - i) <= options["wilder_bars"]
            ]
            yield rows[numbers[j]], bar, [held["close"] for held in window], filled(behind, mode)


def filled(behind: list[Bar], mode: str) -> list[Bar]:
    """Return bars in a row, those without a trade repeating the close or cutting off the past."""
    found: list[Bar] = []
    for bar in behind:
        if bar:
            found.append(bar)
        elif mode == "nan":
            found = []
        elif found:
            found.append(dict.fromkeys(("open", "high", "low", "close"), found[-1]["close"]))
    return found


def exact(price: float | None) -> Fraction | None:
    return None if price is None else Fraction(round(price * UNIT), UNIT)


def made_of(row: Row, price: str) -> Bar:
    """Return the bar as fractions, empty where nothing traded or no mid is known."""
    recorded = row["quote_source"] != "snapshot" or row["volume"] is not None
    if price == "trade" and recorded:
        bar = {name: exact(row[name]) for name in ("open", "high", "low", "close")}
        return {} if bar["open"] is None or bar["close"] is None else bar
    quote = {name: exact(row[name]) for name in row if name[:3] in {"bid", "ask"}}
    if quote["bid"] is None or quote["ask"] is None:
        return {}
    close = start = (quote["bid"] + quote["ask"]) / 2
    if quote["bid_open"] is not None and quote["ask_open"] is not None:
        start = (quote["bid_open"] + quote["ask_open"]) / 2
    highs = [start, close] + ([] if quote["bid_high"] is None else [quote["bid_high"]])
    lows = [start, close] + ([] if quote["ask_low"] is None else [quote["ask_low"]])
    return {"open": start, "high": max(highs), "low": min(lows), "close": close}


def judge(row: Row, bar: Bar, closes: list[Fraction], options: Options) -> Row | None:
    """Return the set-up of one bar, or None."""
    mean = sum(closes) / len(closes)
    variance = sum((x - mean) ** 2 for x in closes) / len(closes)
    width = Fraction(str(options["width"]))
    top, bottom = max(bar["open"], bar["close"]), min(bar["open"], bar["close"])
    if top < mean and (mean - top) ** 2 > width**2 * variance:
        side, body = 1, mean - top
    elif bottom > mean and (bottom - mean) ** 2 > width**2 * variance:
        side, body = -1, bottom - mean
    else:
        return None
    if row["close_time"] is not None:
        left = row["close_time"] - row["time"]
        if left < timedelta(seconds=options["min_time_to_close"]):
            return None
    if bar["high"] is None or bar["low"] is None:
        return None
    levels = long_or_short(side, bar["high"], bar["low"], options)
    if levels is None:
        return None
    entry, stop, target = levels
    tick = Fraction(str(options["tick"]))
    if options["target_band_cap"]:
        grid = [k * tick for k in range(int(1 / tick) + 1)]
        squared = width**2 * variance
        if side == 1:
            inside = [t for t in grid if t <= mean or (t - mean) ** 2 <= squared]
            target = min(target, max(inside) - tick)
        else:
            inside = [t for t in grid if t >= mean or (mean - t) ** 2 <= squared]
            target = max(target, min(inside) + tick)
    stop, target = clip(stop, tick), clip(target, tick)
    if not 0 < entry < 1 or not worth(side, entry, stop, target, options):
        return None
    outside = float(body) - float(width) * math.sqrt(variance)
    leave = None
    if options["min_exit_before_close"] and row["close_time"] is not None:
        leave = row["close_time"] - timedelta(seconds=options["min_exit_before_close"])
    return {
        "side": side,
        "entry": float(entry),
        "stop": float(stop),
        "target": float(target),
        "confidence": min(0.95, 0.6 + 2 * outside),
        "entry_stop": options["geometry"] == "reversal_break",
        "exit_time": leave,
    }


def clip(level: Fraction, tick: Fraction) -> Fraction:
    return min(max(level, tick), 1 - tick)


def long_or_short(
    side: int, high: Fraction, low: Fraction, options: Options
) -> tuple[Fraction, Fraction, Fraction] | None:
    span = high - low
    if span < Fraction(str(options["tick"])):
        return None
    reward = Fraction(str(options["reward"])) * span
    reward = Fraction(math.floor(reward * UNIT), UNIT)
    return {
        ("fade_limit", 1): (low, low - span, low + reward),
        ("fade_limit", -1): (high, high + span, high - reward),
        ("reversal_break", 1): (high, low, high + reward),
        ("reversal_break", -1): (low, high, low - reward),
        ("literal", 1): (low, high, low + reward),
        ("literal", -1): (high, low, high + reward),
    }[options["geometry"], side]


def worth(side: int, entry: Fraction, stop: Fraction, target: Fraction, options: Options) -> bool:
    gain, loss = side * (target - entry), side * (entry - stop)
    least = Fraction(str(options["min_rr"]))
    if options["geometry"] == "literal":
        return loss != 0 and gain / loss >= least
    if gain <= 0 or loss <= 0:
        return False
    rate = Fraction(str(options["fee_rate"])) if options["fee_aware"] else Fraction(0)
    fees = [rate * p * (1 - p) for p in (entry, stop, target)]
    return (gain - fees[0] - fees[2]) >= least * (loss + fees[0] + fees[1])
