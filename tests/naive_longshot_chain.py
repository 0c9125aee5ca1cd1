"""The documented longshot agents, one market at a time in plain Python with exact fractions."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from kalshi_bt.longshot_chain_rules import ChainRules

Row = dict[str, Any]


def four(value: Fraction | None) -> float | None:
    """Four decimals, half up."""
    return None if value is None else (value * 10_000 * 2 + 1) // 2 / 10_000


def share(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def walk(
    markets: Iterable[Row],
    settlements: Iterable[Row],
    trades: Iterable[Row],
    rules: ChainRules,
    options: Row,
    candles: Iterable[Row] = (),
) -> tuple[list[Row], list[Row]]:
    """Decisions and trades; options: n, bankroll, stake (micro-dollars)."""
    recorded = sorted(candles, key=lambda c: c["time"])
    known = {m["ticker"]: m for m in markets}
    results = {s["ticker"]: s for s in settlements if s["result"] in {"yes", "no"}}
    ordered = sorted(trades, key=lambda t: (t["ticker"], t["time"], t["trade_id"]))
    cents = [(t, (t["price"] + 50) // 100) for t in ordered]
    last = {t["ticker"]: cent for t, cent in cents}
    history = [
        (results[t["ticker"]]["result"], t["taker_side"], cent)
        for t, cent in cents
        if t["ticker"] in results and t["ticker"].startswith(rules.history)
    ]
    queue = sorted(
        (results[x]["close_time"], x)
        for x, cent in last.items()
        if x in results and x in known and 1 <= cent <= 99
    )
    decisions, made, cash = [], [], options["bankroll"]
    for close, ticker in queue[: options["n"]]:
        made_of = judge(ticker, last[ticker], history, rules)
        sold = sum(
            Fraction(t["quantity"], 100)
            for t in ordered
            if t["ticker"] == ticker and t["time"] <= close
        )
        told = [
            c["open_interest"]
            for c in recorded
            if c["ticker"] == ticker and c["time"] <= close and c["open_interest"] is not None
        ]
        if made_of["status"] == "APPROVED" and idle(sold, told[-1:], rules):
            made_of["status"] = "VETOED"
        decisions.append(made_of)
        if made_of["status"] == "APPROVED":
            side = made_of["side"]
            entry = last[ticker] if side == "YES" else 100 - last[ticker]
            count = max(1, options["stake"] // (entry * 10_000))
            won = results[ticker]["result"].upper() == side
            pnl = count * (1_000_000 if won else 0) - count * entry * 10_000
            cash += pnl
            made.append({"ticker": ticker, "quantity": count * 100, "pnl": pnl, "cash": cash})
    return decisions, made


def idle(sold: Fraction | int, told: list[int], rules: ChainRules) -> bool:
    """Rule 4 of the critic: something is known, and it is too little."""
    interest = Fraction(told[0], 100) if told else None
    if sold == 0 and not interest:
        return False
    return sold == 0 or (interest is not None and interest < rules.min_open_interest)


def judge(ticker: str, price: int, history: list[tuple[str, int, int]], rules: ChainRules) -> Row:
    """What the agents say of one market."""
    found: Row = {"ticker": ticker, "status": "BOUNCED", "side": None}
    if rules.domain not in ticker.upper() or rules.longshot < price < rules.favourite:
        return found
    side = "NO" if price <= rules.longshot else "YES"
    taker = -1 if side == "NO" else 1
    cell = [result for result, t, cent in history if cent == price and t == taker]
    mirror = [result for result, t, cent in history if cent == 100 - price and t == -taker]
    at = [(result, t) for result, t, cent in history if cent == price]
    below = [result for result, t, cent in history if cent <= price and t == 1]
    implied = Fraction(100 - price if side == "NO" else price, 100)
    rate = four(share(sum(r.upper() == side for r in cell), len(cell)))
    gap = None if rate is None else float(round(Fraction(str(rate)) - implied, 4))
    right = sum((r == "yes") == (t == 1) for r, t in at)
    taken = four(share(right, len(at)))
    other = "YES" if side == "NO" else "NO"
    mirrored = four(share(sum(r.upper() == other for r in mirror), len(mirror)))
    n = len(cell)
    if n < rules.weak_sample:
        verdict = "INSUFFICIENT_DATA"
    elif gap is not None and gap > rules.confirmed_gap and n >= rules.confirmed_sample:
        verdict = "EDGE_CONFIRMED"
    else:
        verdict = "EDGE_WEAK" if gap is not None and gap > rules.weak_gap else "NO_EDGE"
    sure = "LOW"
    if n >= rules.min_sample and gap is not None:
        high, medium = gap >= rules.edge_high, gap >= rules.edge_medium
        sure = "HIGH" if high else "MEDIUM" if medium else "LOW"
    kelly = min(max(gap or 0.0, 0.0), rules.kelly_cap)
    passes = n < rules.min_sample or gap is None or gap <= 0
    passes |= verdict not in {"EDGE_CONFIRMED", "EDGE_WEAK"} or sure == "LOW"
    status = "PASS" if passes else "APPROVED"
    if status == "APPROVED" and rate in {0.0, 1.0} and n >= rules.confirmed_sample:
        status = "VETOED"
    return {
        "ticker": ticker,
        "status": status,
        "side": side,
        "sample_size": n,
        "actual_win_rate": rate,
        "calibration_gap": gap,
        "no_win_rate": four(share(below.count("no"), len(below))),
        "taker_win_rate": taken,
        "yes_no_asymmetry": None
        if taken is None or mirrored is None
        else round(abs(taken - mirrored), 4),
        "verdict": verdict,
        "confidence": sure,
        "kelly_fraction": kelly,
    }
