"""What the compiled walk reads, keeps and leaves: records, codes, and the words for the codes."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Prices = NDArray[np.int16]
Floats = NDArray[np.float64]

NEVER = 1 << 62

STATUS = ("rejected", "filled", "partial", "expired", "canceled")
REJECTED, FILLED, PARTIAL, EXPIRED, CANCELED = range(5)

REASONS = (
    *("", "breaker_daily_loss", "breaker_drawdown", "breaker_losses", "market_closed"),
    *("price_range", "no_quote", "stop_side", "target_side", "confidence", "reward_risk"),
    *("no_stop", "size_zero", "max_contracts", "edge", "position_open", "market_cap", "event_cap"),
    *("cycle_cap", "max_positions", "exposure", "cash", "order_rate", "no_position"),
    *("beyond_limit", "no_volume", "not_reached", "exited", "signal", "trading_hours"),
    *("paused", "would_cross", "breaker_weekly_loss", "breaker_session_loss"),
)
NONE, LATCH_DAY, LATCH_DRAWDOWN, LATCH_LOSSES, MARKET_CLOSED = range(5)
PRICE_RANGE, WITHOUT_QUOTE, STOP_SIDE, TARGET_SIDE, CONFIDENCE, REWARD_RISK = range(5, 11)
WITHOUT_STOP, SIZE_ZERO, MAX_CONTRACTS, EDGE, POSITION_OPEN, MARKET_CAP, EVENT_CAP = range(11, 18)
CYCLE_CAP, MAX_POSITIONS, EXPOSURE, CASH, ORDER_RATE, NO_POSITION = range(18, 24)
BEYOND, NO_VOLUME, NOT_REACHED, EXITED, SIGNAL, HOURS, PAUSED, WOULD_CROSS = range(24, 32)
LATCH_WEEK, LATCH_SESSION = range(32, 34)

EXIT_REASONS = ("entry", "target", "stop", "time", "signal", "settlement", "netting")
ENTERED, TARGET_HIT, STOP_HIT, TIMED_OUT, SIGNALLED, SETTLED, NETTED = range(7)


# Columns of the (bars, 11) Int16 prices: what traded, the bid, the ask; missing is -1. A bar lies
# on one cache line: a walk jumps between markets and would miss the cache once a column otherwise.
COLUMNS = 11
PH, PL, PC, BO, BH, BL, BC, AO, AH, AL, AC = range(COLUMNS)


MARKET = np.dtype(
    [
        ("begin", np.int64),  # its first bar
        ("last", np.int64),  # one past its last bar that can execute
        ("event", np.int64),
        ("close", np.int64),  # when trading ends; NEVER if not known
        ("settle", np.int64),  # NEVER without a result
        ("payout", np.int64),
        ("rate_begin", np.int64),
        ("rate_end", np.int64),
    ]
)
RATE = np.dtype([("since", np.int64), ("taker", np.int64), ("maker", np.int64)])

INTENT = np.dtype(
    [
        ("market", np.int64),
        ("bar", np.int64),
        ("time", np.int64),
        ("side", np.int64),
        ("kind", np.int64),
        ("limit", np.int64),  # this and the following: -1 or NaN where missing
        ("stop", np.int64),
        ("target", np.int64),
        ("reward", np.int64),
        ("quantity", np.int64),
        ("stake", np.float64),
        ("risk", np.float64),
        ("valid_bars", np.int64),
        ("exit_time", np.int64),
        ("outside", np.int64),  # 1: decided outside the trading hours
        ("fair", np.float64),
        ("confidence", np.float64),
    ]
)

# What was said of a result before it was paid, by market and time.
SAID = np.dtype(
    [
        ("time", np.int64),
        ("payout", np.int64),  # of YES, as last determined; -1 if never
        ("disputed", np.int64),
    ]
)

# The rules of a run as plain numbers; -1 or NaN switches a limit off. One row.
TERMS = np.dtype(
    [
        ("cash", np.int64),
        ("latency", np.int64),
        ("end", np.int64),
        ("touch", np.bool_),
        ("prints", np.bool_),
        ("stop_first", np.bool_),
        ("naive", np.bool_),
        ("needs_equity", np.bool_),
        ("queue", np.bool_),
        ("book", np.bool_),
        ("collateral", np.bool_),
        ("random", np.bool_),
        ("in_bps", np.bool_),  # what a random exchange takes is a part of the price
        ("reset_daily", np.bool_),
        ("renew_peak", np.bool_),  # a new day clears a drawdown
        ("fractional", np.bool_),  # markets that allow it trade in steps of 0.01
        ("participation", np.int64),  # 1/10 000
        ("touch_share", np.int64),  # 1/10 000
        ("lot", np.int64),
        ("assumed_volume", np.int64),
        ("rounding", np.int64),  # -1: by date
        ("precision", np.int64),  # -1: by date
        ("bar", np.int64),
        ("max_contracts", np.int64),
        ("max_positions", np.int64),
        ("max_losses", np.int64),
        ("max_order_rate", np.int64),
        ("max_drawdown", np.float64),
        ("min_edge", np.float64),
        ("min_confidence", np.float64),
        ("min_reward_risk", np.float64),
        # market, event, cycle, exposure, loss of a day, a week, the run
        ("fractions", np.float64, (7,)),
        ("dollars", np.int64, (7,)),  # the same in micro-dollars
    ]
)


SLOT = np.dtype(
    [
        ("market", np.int64),
        ("side", np.int64),
        ("version", np.int64),  # of the slot's newest heap entry; older entries are void
        ("bar", np.int64),  # first bar it has not acted on
        ("due", np.int64),  # the bar its heap entry waits for
        ("order", np.int64),
        ("pair", np.int64),  # the other slot of its market: position or opposing order; -1: none
        # the entry order
        ("live", np.int64),
        ("kind", np.int64),
        ("limit", np.int64),
        ("arrival", np.int64),  # when it reaches the exchange
        ("first_bar", np.int64),
        ("final_bar", np.int64),
        ("expires", np.int64),  # after bars of this time; NEVER where bars are counted instead
        ("remaining", np.int64),
        ("level", np.int64),  # what a contract is taken to cost, for caps
        ("reserved", np.int64),
        ("starved", np.int64),  # reached on a bar with less volume than wanted
        ("trimmed", np.int64),
        # the position
        ("held", np.int64),
        ("cost", np.int64),
        ("flow", np.int64),  # cash of the round trip so far, fees included
        ("stop", np.int64),
        ("target", np.int64),
        ("reward", np.int64),
        ("entered", np.int64),
        # the bar on which only the close may prove the target, or where it queues, nothing may
        ("close_only_bar", np.int64),
        ("exit_after", np.int64),  # a market exit acts on bars ending later; NEVER: none is pending
        ("exit_reason", np.int64),
        ("exit_time", np.int64),
        ("last_exit", np.int64),
        ("mark_bar", np.int64),
        ("seq", np.int64),
        # what fees of earlier fills left behind
        ("entry_rounding", np.int64),
        ("entry_paid", np.int64),
        ("entry_rest", np.int64),
        ("exit_rounding", np.int64),
        ("exit_paid", np.int64),
        ("exit_rest", np.int64),
        # of a queue: centi-contracts that stand before the entry and before the target
        ("ahead", np.int64),
        ("target_ahead", np.int64),
        ("attempted", np.int64),  # a random exchange has had its say on the share
    ]
)

FILL = np.dtype(
    [
        ("order", np.int64),
        ("trade", np.int64),  # the entry order of the round trip it belongs to
        ("seq", np.int64),
        ("market", np.int64),
        ("time", np.int64),
        ("bar", np.int64),  # -1 for a settlement
        ("role", np.int64),
        ("reason", np.int64),
        ("quantity", np.int64),  # signed YES
        ("price", np.int64),  # YES
        ("fee", np.int64),
        ("source", np.int64),
        ("spread", np.int64),  # half the quoted spread where a taker crossed it
    ]
)

ORDER = np.dtype(
    [
        ("wanted", np.int64),
        ("quantity", np.int64),
        ("filled", np.int64),
        ("status", np.int64),
        ("reason", np.int64),
    ]
)

ACCOUNT = np.dtype(
    [
        ("cash", np.int64),
        ("reserved", np.int64),
        ("credit", np.int64),  # collateral given back
        ("exposure", np.int64),
        ("busy", np.int64),  # markets held or bid for
        ("day", np.int64),
        ("realised", np.int64),
        ("week", np.int64),
        ("realised_week", np.int64),
        ("realised_run", np.int64),
        ("losses", np.int64),
        ("latched", np.int64),
        ("latch_day", np.int64),
        ("peak", np.int64),
        ("cycle_time", np.int64),
        ("cycle_cost", np.int64),
        ("rate_head", np.int64),
        ("accepted", np.int64),
        ("fills", np.int64),
        ("made_row", np.int64),  # the last row on which a resting order was filled, and how much
        ("made", np.int64),
        ("slots", np.int64),  # one past the highest slot ever used
        ("free", np.int64),  # idle slots on the stack
        ("queued", np.int64),  # events in the queue
    ]
)

EVENT = np.dtype(
    [
        ("time", np.int64),
        ("what", np.int64),  # kind and market in one number, see `queue`
        ("version", np.int64),
    ]
)


# Where everything of one walk lies in memory. Kernels hand this one record from function to
# function: passing a dozen arrays by value, with their reference counts, would cost more than what
# is done with them.
CONTEXT = np.dtype(
    [
        (name, np.int64)
        for name in (
            *(
                "bars",
                "markets",
                "rates_count",
                "slots_count",
                "intents",
                "room",
                "queue_room",
                "sized",
                "weeks",
                "deep",
                "levels_count",
                "events",
                "said_count",
            ),  # lengths
            "first_week",
            *("time", "prices", "volume", "market", "rates", "terms"),  # addresses, read only
            *("slots", "slot_of", "event_cost", "account", "orders", "accepted_times", "fills"),
            *("free", "queue"),
            *("sizes", "draws", "pauses", "spans", "levels", "taken", "taken_row"),
            *("positions", "results", "event_credit", "group_kind", "group_start", "group_member"),
            *("said", "said_start"),
        )
    ]
)
