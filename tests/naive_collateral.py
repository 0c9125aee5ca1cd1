"""What an event returns: the least its positions pay, over the outcomes that can still come."""

from naive_rules import Market


def payoff(market: Market, *, yes: bool) -> int:
    """Micro-dollars the position of a market pays in that outcome."""
    position = market.position
    if position is None:
        return 0
    return 10_000 * position.quantity if yes == (position.order.side == 1) else 0


def outcomes_of(event: list[Market]) -> list[list[Market]]:
    """The markets that pay YES, in each outcome there is; none where outcomes are unrelated."""
    floors = [market.strike[1] for market in event]
    above = all(market.strike[0] in {"greater", "greater_or_equal"} for market in event)
    if all(market.exclusive for market in event):
        return [[], *([market] for market in event)]
    if (
        above
        and not any(market.exclusive for market in event)
        and None not in floors
        and len(set(floors)) == len(floors)
    ):
        ladder = sorted(event, key=lambda market: market.strike[1] or 0.0)
        return [ladder[:passed] for passed in range(len(ladder) + 1)]
    return []


def possible(event: list[Market]) -> list[list[Market]]:
    """The outcomes that agree with what was paid; none if a market paid something in between."""
    paid = [market for market in event if market.paid]
    if any(market.payout not in {0, 10_000} for market in paid):
        return []
    return [
        winners
        for winners in outcomes_of(event)
        if all((market.payout == 10_000) == any(market is m for m in winners) for market in paid)
    ]


def guaranteed(event: list[Market]) -> int:
    """What the positions of an event pay in its worst outcome; 0 where outcomes are unrelated."""
    totals = (
        sum(payoff(market, yes=any(market is m for m in winners)) for market in event)
        for winners in possible(event)
    )
    return min(totals, default=0)
