"""Every trading metric once more: plain loops over rows, exact fractions, nothing shared.

A twin takes a dict of lists of dicts (one dict a row) and returns a number, or None where the
number does not exist. Money is in micro-dollars.
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import sqrt
from typing import Any

Plain = dict[str, Any]
DOLLAR = 1_000_000
TICK = timedelta(microseconds=1)
Number = int | float | None


def midnight_before(time: datetime) -> datetime:
    return datetime(time.year, time.month, time.day, tzinfo=UTC)


def final_equity(book: Plain) -> int:
    return book["equity"][-1]["equity"] if book["equity"] else book["initial_cash"]


def net_pnl(book: Plain) -> int:
    return final_equity(book) - book["initial_cash"]


def fees(book: Plain) -> int:
    total = 0
    for fill in book["fills"]:
        total += fill["fee"]
    return total


def daily_values(book: Plain) -> list[int]:
    if not book["equity"]:
        return []
    at = midnight_before(book["equity"][0]["time"])
    values = [book["initial_cash"]]
    while True:
        at += timedelta(days=1)
        value = book["initial_cash"]
        for row in book["equity"]:
            if row["time"] <= at:
                value = row["equity"]
        values.append(value)
        if book["equity"][-1]["time"] <= at:
            return values


def daily_returns(book: Plain) -> list[Fraction] | None:
    values = daily_values(book)
    if len(values) < 3 or any(value <= 0 for value in values[:-1]):
        return None
    return [Fraction(values[i + 1], values[i]) - 1 for i in range(len(values) - 1)]


def sharpe(book: Plain) -> Number:
    returns = daily_returns(book)
    if returns is None or all(r == returns[0] for r in returns):
        return None
    n = len(returns)
    mean = sum(returns) / n
    variance = sum((r - mean) ** 2 for r in returns) / (n - 1)
    return float(mean) / sqrt(variance) * sqrt(365)


def sortino(book: Plain) -> Number:
    returns = daily_returns(book)
    if returns is None or all(r >= 0 for r in returns):
        return None
    below = sum(r**2 for r in returns if r < 0) / len(returns)
    return float(sum(returns) / len(returns)) / sqrt(below) * sqrt(365)


def max_drawdown(book: Plain) -> int:
    worst, peak = 0, book["initial_cash"]
    for row in book["equity"]:
        peak = max(peak, row["equity"])
        worst = max(worst, peak - row["equity"])
    return worst


def max_drawdown_pct(book: Plain) -> Number:
    worst, peak = Fraction(0), book["initial_cash"]
    for row in book["equity"]:
        peak = max(peak, row["equity"])
        if peak <= 0:
            return None
        worst = max(worst, Fraction(100 * (peak - row["equity"]), peak))
    return float(worst)


def drawdown_days(book: Plain) -> float:
    longest, peak = timedelta(0), book["initial_cash"]
    since = book["equity"][0]["time"] if book["equity"] else None
    under = False
    for row in book["equity"]:
        if row["equity"] >= peak:
            if under:
                longest = max(longest, row["time"] - since)
            peak, since, under = row["equity"], row["time"], False
        else:
            under = True
            longest = max(longest, row["time"] - since)
    return longest.total_seconds() / 86_400


def results(book: Plain) -> list[int]:
    trades = sorted(book["trades_closed"], key=lambda t: (t["exit_time"], t["trade_id"]))
    return [trade["pnl"] for trade in trades]


def wins(book: Plain) -> list[int]:
    return [pnl for pnl in results(book) if pnl > 0]


def losses(book: Plain) -> list[int]:
    return [pnl for pnl in results(book) if pnl < 0]


def mean_money(values: list[int]) -> Number:
    return round(Fraction(sum(values), len(values))) if values else None


def win_rate(book: Plain) -> Number:
    decided = len(wins(book)) + len(losses(book))
    return len(wins(book)) / decided if decided else None


def break_even_rate(book: Plain) -> Number:
    if not wins(book) or not losses(book):
        return None
    win = Fraction(sum(wins(book)), len(wins(book)))
    loss = Fraction(sum(losses(book)), len(losses(book)))
    # rate x win + (1 - rate) x loss = 0
    return float(loss / (loss - win))


def profit_factor(book: Plain) -> Number:
    lost = -sum(losses(book))
    return sum(wins(book)) / lost if lost else None


def longest_row(book: Plain, *, wanted: bool) -> int:
    longest = current = 0
    for pnl in results(book):
        if pnl == 0:
            continue
        current = current + 1 if (pnl > 0) == wanted else 0
        longest = max(longest, current)
    return longest


def turnover(book: Plain) -> Number:
    total = 0
    for fill in book["fills"]:
        if fill["kind"] == "settlement":
            continue
        buys_yes = fill["quantity"] > 0
        holds_yes = buys_yes if fill["leg"] == "entry" else not buys_yes
        price = fill["price"] if holds_yes else 10_000 - fill["price"]
        total += abs(fill["quantity"]) * price
    return total / book["initial_cash"] if book["initial_cash"] else None


def holding_time(book: Plain) -> Number:
    held = [t["exit_time"] - t["entry_time"] for t in book["trades_closed"]]
    return sum(held, timedelta(0)).total_seconds() / len(held) if held else None


def fill_rate(book: Plain) -> Number:
    sent = filled = 0
    for order in book["orders"]:
        if order["status"] == "rejected" or order["side"] == 0:
            continue
        sent += order["quantity"]
        filled += order["filled"]
    return filled / sent if sent else None


def roi_stake(book: Plain) -> Number:
    stake = sum(trade["stake"] for trade in book["trades_closed"])
    return sum(results(book)) / stake if stake else None


def paid(trade: Plain) -> Fraction:
    """Dollars of one contract with its fees."""
    return Fraction(trade["stake"] + trade["fees"], DOLLAR) / Fraction(trade["quantity"], 100)


def mean_paid(book: Plain) -> Fraction | None:
    prices = [paid(trade) for trade in book["trades_closed"] if trade["pnl"] != 0]
    return sum(prices, Fraction(0)) / len(prices) if prices else None


def price_paid(book: Plain) -> Number:
    mean = mean_paid(book)
    return None if mean is None else round(mean * DOLLAR)


def win_rate_excess(book: Plain) -> Number:
    mean = mean_paid(book)
    if mean is None:
        return None
    decided = len(wins(book)) + len(losses(book))
    return float(Fraction(len(wins(book)), decided) - mean)


def quoted(book: Plain, part: str) -> Number:
    total, found = 0, False
    for row in book["context"]:
        if None not in (row["gross_mid"], row["spread"], row["slippage"]):
            total, found = total + round(row[part] * DOLLAR), True
    return total if found else None


def quoted_share(book: Plain, part: str) -> Number:
    total = quoted(book, part)
    return None if total is None or not book["initial_cash"] else total / book["initial_cash"]


def one_sided(book: Plain) -> int:
    left_out = len(book["trades_closed"])
    for row in book["context"]:
        left_out -= None not in (row["gross_mid"], row["spread"], row["slippage"])
    return left_out


def mean_locked(book: Plain) -> Fraction | None:
    path = book["equity"]
    if len(path) < 2:
        return None
    area = Fraction(0)
    for i in range(len(path) - 1):
        area += path[i]["locked"] * Fraction((path[i + 1]["time"] - path[i]["time"]) // TICK)
    return area / ((path[-1]["time"] - path[0]["time"]) // TICK)


def exposure_mean(book: Plain) -> Number:
    mean = mean_locked(book)
    return None if mean is None else round(mean)


def return_locked(book: Plain) -> Number:
    path, area, held = book["equity"], Fraction(0), 0
    for i in range(len(path) - 1):
        if path[i]["locked"] > 0:
            lasted = (path[i + 1]["time"] - path[i]["time"]) // TICK
            area += path[i]["locked"] * lasted
            held += lasted
    return float(net_pnl(book) / (area / held)) if held else None


def return_locked_annual(book: Plain) -> Number:
    found = return_locked(book)
    if found is None or not -1 <= found <= 1:
        return None
    lasted = book["equity"][-1]["time"] - book["equity"][0]["time"]
    if lasted < timedelta(days=30):
        return None
    return found * 365 * 86_400 / lasted.total_seconds()


def totals(book: Plain, key: str, what: str = "pnl") -> list[int]:
    found: dict[Any, int] = {}
    for trade in book["trades_closed"]:
        name = trade["exit_time"].date() if key == "day" else trade[key]
        found[name] = found.get(name, 0) + trade[what]
    return list(found.values())


def share(amounts: list[int]) -> Number:
    whole = sum(abs(amount) for amount in amounts)
    return max(abs(amount) for amount in amounts) / whole if whole else None


def without_best(amounts: list[int]) -> Number:
    return sum(sorted(amounts)[:-1]) if len(amounts) > 1 else None


def settlements(book: Plain) -> dict[str, datetime]:
    """When each market settled, as recorded, or when a trade of it was settled."""
    recorded = {row["trade_id"]: row["settled"] for row in book["context"]}
    at: dict[str, datetime] = {}
    for trade in book["trades_closed"]:
        known = recorded.get(trade["trade_id"])
        if known is None and trade["exit_reason"] == "settlement":
            known = trade["exit_time"]
        if known is not None:
            at[trade["ticker"]] = max(known, at.get(trade["ticker"], known))
    return at


def trade_clusters(book: Plain) -> list[list[Plain]]:
    """Trades that hang together by event or settlement, found by merging until nothing changes."""
    at = settlements(book)
    groups = [[trade] for trade in book["trades_closed"]]
    merged = True
    while merged:
        merged = False
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if any(together(a, b, at) for a in groups[i] for b in groups[j]):
                    groups[i] += groups.pop(j)
                    merged = True
                    break
            if merged:
                break
    return groups


def together(a: Plain, b: Plain, at: dict[str, datetime]) -> bool:
    when = at.get(a["ticker"])
    return a["event"] == b["event"] or (when is not None and when == at.get(b["ticker"]))


def of_cash(amount: int, book: Plain) -> Number:
    return amount / book["initial_cash"] if book["initial_cash"] else None


TWINS = {
    "n_wins": lambda b: len(wins(b)),
    "n_losses": lambda b: len(losses(b)),
    "gross_profit": lambda b: sum(wins(b)),
    "gross_loss": lambda b: sum(losses(b)),
    "price_paid": price_paid,
    "win_rate_excess": win_rate_excess,
    "pnl_at_mid": lambda b: quoted(b, "gross_mid"),
    "spread_cost": lambda b: quoted(b, "spread"),
    "slippage_cost": lambda b: quoted(b, "slippage"),
    "spread_drag": lambda b: quoted_share(b, "spread"),
    "slippage_drag": lambda b: quoted_share(b, "slippage"),
    "one_sided": one_sided,
    "exposure_mean": exposure_mean,
    "return_locked": return_locked,
    "return_locked_annual": return_locked_annual,
    "n_days": lambda b: max(0, len(daily_values(b)) - 1),
    "n_markets": lambda b: len(totals(b, "ticker")),
    "n_events": lambda b: len(totals(b, "event")),
    "n_clusters": lambda b: len(trade_clusters(b)),
    "top_event_share": lambda b: share(totals(b, "event")),
    "top_day_share": lambda b: share(totals(b, "day")),
    "top_market_share": lambda b: share(totals(b, "ticker")),
    "top_event_stake": lambda b: share(totals(b, "event", "stake")),
    "net_without_best_event": lambda b: without_best(totals(b, "event")),
    "net_without_best_day": lambda b: without_best(totals(b, "day")),
    "net_pnl": net_pnl,
    "gross_pnl": lambda b: net_pnl(b) + fees(b),
    "fees": fees,
    "spread_paid": lambda b: sum(t["spread_paid"] for t in b["trades_closed"]),
    "initial_cash": lambda b: b["initial_cash"],
    "final_equity": final_equity,
    "roi": lambda b: of_cash(net_pnl(b), b),
    "roi_stake": roi_stake,
    "fee_drag": lambda b: of_cash(fees(b), b),
    "turnover": turnover,
    "exposure_max": lambda b: max([row["locked"] for row in b["equity"]], default=0),
    "max_drawdown": max_drawdown,
    "max_drawdown_pct": max_drawdown_pct,
    "drawdown_days": drawdown_days,
    "sharpe": sharpe,
    "sortino": sortino,
    "n_trades": lambda b: len(b["trades_closed"]),
    "win_rate": win_rate,
    "break_even_rate": break_even_rate,
    "pushes": lambda b: results(b).count(0),
    "profit_factor": profit_factor,
    "expectancy": lambda b: mean_money(results(b)),
    "average_win": lambda b: mean_money(wins(b)),
    "average_loss": lambda b: mean_money(losses(b)),
    "largest_win": lambda b: max(wins(b), default=None),
    "largest_loss": lambda b: min(losses(b), default=None),
    "max_wins": lambda b: longest_row(b, wanted=True),
    "max_losses": lambda b: longest_row(b, wanted=False),
    "holding_time": holding_time,
    "n_orders": lambda b: len(b["orders"]),
    "n_rejected": lambda b: sum(order["status"] == "rejected" for order in b["orders"]),
    "fill_rate": fill_rate,
    "n_fills": lambda b: len(b["fills"]),
    "unsettled": lambda b: b["unsettled"],
    "unsettled_value": lambda b: b["unsettled_value"],
    "determined": lambda b: b["determined"],
    "quarantined_rows": lambda b: b["quarantined_rows"],
}
