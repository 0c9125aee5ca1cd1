"""What one order does on one bar, and what its fill costs: compiled scalars, shared with live.

Every function speaks of the side held ("own"): a holder of NO sees the mirrored book, so one rule
serves both sides and YES at p is NO at 1 - p by construction. A missing price is -1.
"""

from kalshi_bt.simulator.compiling import compiled

OPEN, FRIENDLY, HOSTILE = 0, 1, 2  # which end of a bar a taker gets
IOC, LIMIT, STOP = 0, 1, 2  # kinds of entry
TAKER, MAKER, NO_ROLE = 0, 1, 2
WAITS, FILLS, NO_QUOTE, BEYOND_LIMIT, WOULD_TAKE = range(5)  # what came of an entry on a bar
HOLD, BY_TARGET, BY_STOP, BY_ORDER = 0, 1, 2, 3  # what came of a position on a bar
ORDER_CENT, EXCHANGE = 0, 1
UNBOUNDED = 1 << 62  # centi-contracts, where nothing says how many
EXACT = 10_000_000_000  # a micro-dollar, in the units of rate x quantity x price x (1 - price)

SOURCES = (
    *("ask_open", "ask_high", "ask_low", "ask_close", "limit", "trigger"),
    *("bid_open", "bid_high", "bid_low", "bid_close", "stop", "target", "payout", "decision"),
    "book",
)
ASK_OPEN, ASK_HIGH, ASK_LOW, ASK_CLOSE, AT_LIMIT, AT_TRIGGER = range(6)
BID_OPEN, BID_HIGH, BID_LOW, BID_CLOSE, AT_STOP, AT_TARGET, PAYOUT, DECISION, BOOK = range(6, 15)


@compiled
def mirror(price: int, side: int) -> int:
    """Return a YES price seen from `side`; missing stays missing."""
    if price < 0 or side > 0:
        return price
    return 10_000 - price


@compiled
def lowest(a: int, b: int, c: int) -> int:
    """Return the least known of three prices, -1 if none is known."""
    low = a
    if b >= 0 and (low < 0 or b < low):
        low = b
    if c >= 0 and (low < 0 or c < low):
        low = c
    return low


@compiled
def highest(a: int, b: int, c: int) -> int:
    """Return the greatest known of three prices, -1 if none is known."""
    return max(a, b, c)


@compiled
def buying_price(ask: tuple[int, int, int, int], end: int) -> tuple[int, int]:
    """Return what a taker pays on a bar and which quote said so; -1 where nothing is offered."""
    o, h, low, c = ask
    if end == OPEN:
        return (o, ASK_OPEN) if o >= 0 else (c, ASK_CLOSE)
    if end == FRIENDLY:
        price, extreme, source = lowest(o, low, c), low, ASK_LOW
    else:
        price, extreme, source = highest(o, h, c), h, ASK_HIGH
    if price == o:
        return price, ASK_OPEN
    if price == extreme:
        return price, source
    return price, ASK_CLOSE


@compiled
def selling_price(bid: tuple[int, int, int, int], end: int) -> tuple[int, int]:
    """Return what a taker gets on a bar and which quote said so; -1 where nobody bids."""
    o, h, low, c = bid
    if end == OPEN:
        return (o, BID_OPEN) if o >= 0 else (c, BID_CLOSE)
    if end == FRIENDLY:
        price, extreme, source = highest(o, h, c), h, BID_HIGH
    else:
        price, extreme, source = lowest(o, low, c), low, BID_LOW
    if price == o:
        return price, BID_OPEN
    if price == extreme:
        return price, source
    return price, BID_CLOSE


@compiled
def reached(level: int, quote: int, trade: int, touch: bool, prints: bool) -> bool:
    """Tell whether a resting buy at `level` trades, given the lowest ask and the lowest print.

    A resting sell is the same question with every price mirrored.
    """
    if quote >= 0 and (quote < level or (touch and quote == level)):
        return True
    return prints and trade >= 0 and (trade < level or (touch and trade == level))


@compiled
def entry_on_bar(
    kind: int,
    limit: int,
    first: bool,
    ask: tuple[int, int, int, int],
    trade_high: int,
    trade_low: int,
    model: tuple[int, bool, bool, bool],
) -> tuple[int, int, int, int]:
    """Return (outcome, price, role, source) of a live entry on one bar, before size is asked.

    Parameters
    ----------
    kind : int
        IOC, LIMIT or STOP.
    limit : int
        Own limit, -1 for any price; of a STOP its trigger.
    first : bool
        Whether this is the first bar the order can act on.
    ask : tuple of int
        Own ask: open, high, low, close.
    trade_high, trade_low : int
        Own extremes of the bar's trades.
    model : tuple
        (end, touch, prints, stop_first).
    """
    end, touch, prints, _ = model
    if kind == IOC:
        price, source = buying_price(ask, end)
        if price < 0:
            return NO_QUOTE, -1, TAKER, source
        if 0 <= limit < price:
            return BEYOND_LIMIT, price, TAKER, source
        return FILLS, price, TAKER, source
    if kind == STOP:
        if highest(ask[0], ask[1], ask[3]) < limit and trade_high < limit:
            return WAITS, -1, TAKER, AT_TRIGGER
        offered = ask[0] if ask[0] >= 0 else ask[3]
        if offered < 0:
            return NO_QUOTE, -1, TAKER, AT_TRIGGER
        price, source = offered, ASK_OPEN if ask[0] >= 0 else ASK_CLOSE
        if end != OPEN:
            price, source = buying_price(ask, end)
        if price > limit:
            return FILLS, price, TAKER, source
        return FILLS, limit, TAKER, AT_TRIGGER
    if first and 0 <= ask[0] <= limit:
        price, source = buying_price(ask, end)
        if price > limit:
            return FILLS, limit, TAKER, AT_LIMIT
        return FILLS, price, TAKER, source
    if reached(limit, lowest(ask[0], ask[2], ask[3]), trade_low, touch, prints):
        return FILLS, limit, MAKER, AT_LIMIT
    return WAITS, -1, MAKER, AT_LIMIT


@compiled
def exit_on_bar(
    stop: int,
    target: int,
    close_only: bool,
    bid: tuple[int, int, int, int],
    trade_high: int,
    model: tuple[int, bool, bool, bool],
) -> tuple[int, int, int, int]:
    """Return (exit, price, role, source) of a bracket on one bar, before size is asked.

    Parameters
    ----------
    stop, target : int
        Own levels, -1 for none.
    close_only : bool
        Whether only the bar's last bid may prove the target: the entry filled inside this bar,
        and the rest of the bar may have come before it.
    bid : tuple of int
        Own bid: open, high, low, close.
    trade_high : int
        Highest own print of the bar.
    model : tuple
        (end, touch, prints, stop_first).
    """
    end, touch, prints, stop_first = model
    o, h, low, c = bid
    worst = lowest(o, low, c)
    stopped = stop >= 0 and 0 <= worst <= stop
    if close_only:
        best, trade = c, -1
    else:
        best, trade = highest(o, h, c), trade_high
    # A resting sell at `target` is a resting buy of the other side at its mirror.
    done = target >= 0 and reached(
        10_000 - target,
        10_000 - best if best >= 0 else -1,
        10_000 - trade if trade >= 0 else -1,
        touch,
        prints,
    )
    if stopped and (stop_first or not done):
        if end == HOSTILE:
            price, source = selling_price(bid, HOSTILE)
            return BY_STOP, price, TAKER, source
        price, source = o, BID_OPEN
        if price < 0:
            price, source = c, BID_CLOSE
        if price < 0:
            price, source = worst, BID_LOW
        if price < stop:
            return BY_STOP, price, TAKER, source
        return BY_STOP, stop, TAKER, AT_STOP
    if done:
        return BY_TARGET, target, MAKER, AT_TARGET
    return HOLD, -1, TAKER, AT_STOP


@compiled
def lost_to_slip(price: int, slip: int, in_bps: bool) -> int:
    """Return what a drawn slip takes from a taker, centi-cents; a friendly one takes nothing."""
    if in_bps:
        return max(-(-price * slip // 10_000), 0)
    return slip


@compiled
def dearer(price: int, slip: int, in_bps: bool, limit: int) -> int:
    """Return what a taker pays who was quoted `price`: never above its limit (-1 for none)."""
    paid = max(price, min(price + lost_to_slip(price, slip, in_bps), 9_999))
    return min(paid, limit) if limit >= 0 else paid


@compiled
def cheaper(price: int, slip: int, in_bps: bool) -> int:
    """Return what a taker gets who was quoted `price`."""
    return min(price, max(price - lost_to_slip(price, slip, in_bps), 1))


@compiled
def capacity(volume: int, assumed: int, participation: int, lot: int) -> int:
    """Return the centi-contracts a run may take of one bar; `participation` is in 1/10 000."""
    if participation < 0:
        return UNBOUNDED
    known = volume if volume >= 0 else assumed
    # Split so that a huge volume cannot overflow.
    share = known // 10_000 * participation + known % 10_000 * participation // 10_000
    return share // lot * lot


@compiled
def exact_fee(rate: int, quantity: int, price: int) -> tuple[int, int]:
    """Return rate x quantity x price x (1 - price) as whole micro-dollars and a rest in 1/EXACT.

    Exact for any quantity up to 3 x 10**11: the product is split before it could overflow.
    """
    product = quantity * price * (10_000 - price)
    head = rate * (product // 1_000_000)
    rest = head % 10_000 * 1_000_000 + rate * (product % 1_000_000)
    return head // 10_000 + rest // EXACT, rest % EXACT


@compiled
def ceil_to(micro: int, rest: int, step: int) -> int:
    """Return the least multiple of `step` micro-dollars not below micro + rest/EXACT."""
    whole = micro + (1 if rest > 0 else 0)
    return -(-whole // step) * step


@compiled
def cent_fee(rate: int, quantity: int, price: int) -> int:
    """Return the fee of one fill rounded up to the cent, micro-dollars."""
    micro, rest = exact_fee(rate, quantity, price)
    return ceil_to(micro, rest, 10_000)


@compiled
def fill_fee(
    rounding: int,
    quantum: int,
    precision: int,
    rate: int,
    quantity: int,
    price: int,
    revenue: int,
    paid: int,
    rest: int,
) -> tuple[int, int, int]:
    """Return (fee, paid, rest) of one fill, given what the order's earlier fills left behind.

    Parameters
    ----------
    rounding : int
        ORDER_CENT: the order's exact fees add up and are charged by whole cents; `paid`, `rest`
        are that exact sum. EXCHANGE: each fill is rounded up to `quantum`, the balance is aligned
        down to `precision`, and what the alignment took is handed back in whole steps; `paid` is
        the order's accumulator.
    rate : int
        Parts per million.
    quantity, price : int
        Centi-contracts and centi-cents of the fill.
    revenue : int
        Micro-dollars the trade itself brings: negative for a purchase.
    """
    micro, part = exact_fee(rate, quantity, price)
    if rounding == ORDER_CENT:
        before = ceil_to(paid, rest, 10_000)
        paid, rest = paid + micro + (rest + part) // EXACT, (rest + part) % EXACT
        return ceil_to(paid, rest, 10_000) - before, paid, rest
    trade_fee = ceil_to(micro, part, quantum)
    change = revenue - trade_fee
    rounded = change - change // precision * precision
    paid += rounded
    charged = trade_fee + rounded
    # While trade fees were rounded to $0.0001 rebates came in whole cents: so real fills say.
    step = precision if quantum == 1 else max(precision, 10_000)
    rebate = min(paid // step, charged // step) * step
    return charged - rebate, paid - rebate, rest


@compiled
def share(amount: int, part: int, whole: int) -> int:
    """Return floor(amount x part / whole) without the product, which would overflow."""
    return amount // whole * part + amount % whole * part // whole
