"""Changes that break one rule each of the audit on what was said of results."""

from datetime import timedelta

from soundness_cases import MIDDLE, OLD, Case, at, ticker, time
from soundness_dataset import SECOND, both, copy, ladder, put, utc, without

HOT = f"{ladder(9)}-T41"
QUARTER = utc(5, 15, 31), utc(5, 16, 30)  # when it was determined, and finalized
DISPUTE = at(HOT, utc(10, 5, 10))
SAID, PAID = (at(SECOND, moment) for moment in QUARTER)

RESULTS: dict[str, Case] = {
    "determinations null_key": Case(
        put("determinations", SAID, ticker=None),
        1,
        None,
        ("determinations unknown_ticker",),
    ),
    "determinations null_value": Case(put("determinations", SAID, payout=None), 1, SECOND),
    "determinations time_range": Case(
        put("determinations", SAID, time=OLD),
        1,
        SECOND,
        ("determinations close_after_determination",),
    ),
    "determinations price_range": Case(
        both(
            put("determinations", SAID, payout=-1),
            put("determinations", PAID, status="determined", payout=-1),
            without("determinations", PAID),
        ),
        1,
        SECOND,
    ),
    "determinations unknown_ticker": Case(
        copy("determinations", SAID, ticker="KXOTHER-26JAN05-A"), 1, "KXOTHER-26JAN05-A"
    ),
    "determinations impossible_step": Case(
        put("determinations", DISPUTE, status="determined", payout=0), 1, HOT
    ),
    "determinations determined_after_payout": Case(
        put("determinations", PAID, status="disputed", payout=None, time=time + timedelta(hours=1)),
        1,
        SECOND,
    ),
    "determinations close_after_determination": Case(
        put("determinations", SAID, time=utc(5, 15, 29)), 1, SECOND
    ),
    "determinations finalized_otherwise": Case(
        put("settlements", ticker == HOT, result="scalar", payout=9_900), 1, HOT
    ),
    "determinations finalized_without_settlement": Case(
        without("settlements", ticker == HOT), 1, HOT
    ),
    "determinations never_paid": Case(
        both(
            without("settlements", ticker == SECOND),
            without("determinations", PAID),
            copy("books", at(SECOND, utc(5, 15, 29, 15)), ticker=MIDDLE, time=utc(12, 16)),
        ),
        1,
        SECOND,
        ("settlements unsettled", "books after_close", "books after_payout"),
    ),
    "determinations payout_amended": Case(
        both(
            put("determinations", at(HOT, utc(10, 5, 1)), payout=0),
            put("determinations", at(HOT, utc(10, 5, 40)), status="amended"),
        ),
        1,
        HOT,
    ),
}
