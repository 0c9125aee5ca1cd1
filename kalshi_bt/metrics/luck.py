"""Where a run's closed trades lie among runs of luck: random times of entry, sides by coins."""

from collections.abc import Callable

from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.controls import control_p_value
from kalshi_bt.metrics.trading import NO_TRADE, mean_money, trade_sums

_REFERENCE = "doi:10.2202/1544-6115.1585"


def _drawn(column: str, tell: Callable[[int, list[int]], Value]) -> Callable[[Book], Value]:
    def function(book: Book) -> Value:
        if book.trades_closed.is_empty():
            return Undefined(NO_TRADE)
        if book.controls.is_empty():
            return Undefined("no run of luck was drawn")
        return tell(int(book.once(trade_sums)["pnl"]), book.controls[column].to_list())

    return function


def _mean(_: int, drawn: list[int]) -> Value:
    return mean_money(sum(drawn), len(drawn), NO_TRADE)


LUCK: dict[str, Metric] = {
    "random_entry_p": Metric(
        _drawn("random_entry", control_p_value),
        "probability",
        "trade",
        "How often luck makes as much, itself counted, when every closed trade is entered at a "
        "random time of its market instead and held as long, on the same side and in the same "
        "size, at the quotes and fees of a taker.",
        _REFERENCE,
    ),
    "random_entry_mean": Metric(
        _drawn("random_entry", _mean),
        "dollars",
        "dollar",
        "What such random entries make on average, all trades together: what the markets, the "
        "sides and the costs leave without a choice of time.",
    ),
    "random_side_p": Metric(
        _drawn("random_side", control_p_value),
        "probability",
        "cluster",
        "How often luck makes as much, itself counted, when a coin for each cluster turns its "
        "closed trades to the other side, entered and left at the same times at the quotes and "
        "fees of a taker.",
        _REFERENCE,
    ),
}
