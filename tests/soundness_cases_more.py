"""Changes that break one rule each of the audit on all tables but the bars."""

from datetime import datetime, timedelta

import polars as pl
from soundness_cases import (
    DEAL,
    EVER,
    MIDDLE,
    OLD,
    TRADED,
    WARM,
    Case,
    at,
    event,
    ladders,
    late,
    quarters,
    ticker,
    time,
)
from soundness_dataset import (
    FIRST,
    GAME,
    HOUR,
    SECOND,
    both,
    copy,
    ladder,
    levels,
    put,
    utc,
    without,
)

OTHERS: dict[str, Case] = {
    # --- trades
    "trades null_key": Case(
        put("trades", DEAL, ticker=None),
        1,
        None,
        ("trades unknown_ticker", *TRADED),
    ),
    "trades null_value": Case(put("trades", DEAL, taker_side=None), 1, FIRST),
    "trades time_range": Case(
        late("trades", time=OLD, trade_id="x"),
        1,
        SECOND,
        ("trades before_open", "series fees_start_late"),
    ),
    "trades price_range": Case(
        put("trades", DEAL, price=-10),
        1,
        FIRST,
        (
            "trades off_market_grid",
            "trades outside_bar_quotes",
            "trades outside_book",
            "candles prices_are_not_traded",
        ),
    ),
    "trades trade_at_limit": Case(
        put("trades", DEAL, price=0),
        1,
        FIRST,
        ("trades outside_bar_quotes", "trades outside_book", "candles prices_are_not_traded"),
    ),
    "trades negative_quantity": Case(
        put("trades", DEAL, quantity=0), 1, FIRST, ("candles volume_is_not_traded",)
    ),
    "trades unknown_side": Case(put("trades", DEAL, taker_side=0), 1, FIRST),
    "trades unknown_ticker": Case(
        both(
            without("candles", ticker == FIRST),
            without("books", ticker == FIRST),
            without("revisions", EVER),
            without("markets", ticker == FIRST),
        ),
        30,
        FIRST,
        ("settlements unknown_ticker",),
    ),
    "trades off_market_grid": Case(
        put("trades", DEAL, price=5_050), 1, FIRST, ("candles prices_are_not_traded",)
    ),
    "trades outside_bar_quotes": Case(
        put("trades", DEAL, price=4_800), 1, FIRST, ("candles prices_are_not_traded",)
    ),
    "trades outside_book": Case(
        put(
            "books",
            at(FIRST, utc(5, 15, 9, 15)),
            bids=pl.lit(levels((5_400, 1))),
            asks=pl.lit(levels((5_600, 1))),
        ),
        1,
        FIRST,
    ),
    "trades trade_repeated": Case(
        copy("trades", DEAL, trade_id="x"), 1, FIRST, ("candles volume_is_not_traded",)
    ),
    "trades trade_id_twice": Case(
        copy("trades", DEAL, time=utc(5, 15, 9, 30)), 1, FIRST, ("candles volume_is_not_traded",)
    ),
    "trades before_open": Case(
        copy("trades", at(FIRST, utc(5, 15, 0, 20)), time=utc(5, 14, 59, 59), trade_id="x"),
        1,
        FIRST,
    ),
    "trades after_close": Case(
        copy("trades", at(FIRST, utc(5, 15, 14, 40)), time=utc(5, 15, 15, 1), trade_id="x"),
        1,
        FIRST,
    ),
    "trades after_payout": Case(
        copy("trades", at(FIRST, utc(5, 15, 14, 40)), time=utc(5, 16, 15, 1), trade_id="x"),
        1,
        FIRST,
        ("trades after_close",),
    ),
    # --- books
    "books unknown_ticker": Case(
        copy("books", at(FIRST, utc(5, 15, 0, 15)), ticker="KXOTHER-26JAN05-A"),
        1,
        "KXOTHER-26JAN05-A",
    ),
    "books crossed": Case(
        put("books", at(FIRST, utc(5, 15, 0, 15)), asks=pl.lit(levels((4_000, 1)))), 1, FIRST
    ),
    "books locked": Case(
        put("books", at(FIRST, utc(5, 15, 0, 15)), asks=pl.lit(levels((4_100, 1)))), 1, FIRST
    ),
    "books level_disorder": Case(
        put("books", at(FIRST, utc(5, 15, 0, 15)), asks=pl.lit(levels((4_300, 5), (4_400, -4)))),
        1,
        FIRST,
    ),
    "books before_open": Case(
        copy("books", at(FIRST, utc(5, 15, 0, 15)), time=utc(5, 14, 59)), 1, FIRST
    ),
    "books after_close": Case(
        copy("books", at(FIRST, utc(5, 15, 0, 15)), time=utc(5, 15, 16)), 1, FIRST
    ),
    "books after_payout": Case(
        copy("books", at(FIRST, utc(5, 15, 0, 15)), time=utc(5, 16, 15, 1)),
        1,
        FIRST,
        ("books after_close",),
    ),
    # --- markets
    "markets null_key": Case(
        put("markets", ticker == MIDDLE, ticker=None),
        1,
        None,
        (
            "candles unknown_ticker",
            "settlements unknown_ticker",
            "markets market_without_rows",
        ),
    ),
    "markets null_value": Case(
        put("markets", ticker == WARM, event=None), 1, WARM, ("settlements no_yes",)
    ),
    "markets time_range": Case(
        put("markets", ticker == f"{GAME}-BBB", open_time=OLD),
        1,
        f"{GAME}-BBB",
        ("candles bars_start_late",),
    ),
    "markets close_before_open": Case(
        put("markets", ticker == WARM, close_time=utc(4, 15)),
        1,
        WARM,
        ("settlements closed_late", "markets close_off_schedule"),
    ),
    "markets close_is_outcome": Case(
        put("markets", ticker == f"{GAME}-AAA", close_time=utc(5, 20) + timedelta(seconds=7)),
        1,
        f"{GAME}-AAA",
    ),
    "markets market_without_rows": Case(
        without("candles", ticker == f"{GAME}-BBB"), 1, f"{GAME}-BBB"
    ),
    "markets event_disagrees": Case(
        put("markets", ticker == WARM, mutually_exclusive=False), 1, ladder(5)
    ),
    "markets close_shifted": Case(
        both(
            put("markets", ticker == SECOND, open_time=utc(5, 14, 15), close_time=utc(5, 14, 30)),
            put("settlements", ticker == SECOND, close_time=utc(5, 14, 30), time=utc(5, 15, 30)),
            without("candles", ticker == SECOND),
            without("trades", ticker == SECOND),
            without("books", ticker == SECOND),
        ),
        1,
        "KXBTC15M-26JAN051030",
        ("markets market_without_rows", "determinations determined_after_payout"),
    ),
    "markets close_off_ticker": Case(
        put("markets", ticker == SECOND, close_time=utc(5, 15, 35)), 1, "KXBTC15M-26JAN051030"
    ),
    "markets close_off_schedule": Case(ladders((7,), close_time=utc(8, 5) + HOUR), 1, ladder(7)),
    "markets close_before_ticker_date": Case(
        put("markets", event == GAME, event="KXGAME-26JAN23AAABBB"), 1, "KXGAME-26JAN23AAABBB"
    ),
    "markets close_before_start": Case(
        put("markets", event == GAME, event="KXGAME-26JAN051600AAABBB"),
        1,
        "KXGAME-26JAN051600AAABBB",
    ),
    # --- settlements
    "settlements null_key": Case(
        put("settlements", ticker == MIDDLE, ticker=None),
        1,
        None,
        ("settlements unknown_ticker",),
    ),
    "settlements null_value": Case(put("settlements", ticker == MIDDLE, result=None), 1, MIDDLE),
    "settlements time_range": Case(
        quarters(time=datetime(2201, 1, 1, tzinfo=OLD.tzinfo)), 1, FIRST, ("settlements paid_late",)
    ),
    "settlements unknown_result": Case(
        put("settlements", ticker == f"{GAME}-BBB", result="void"), 1, f"{GAME}-BBB"
    ),
    "settlements price_range": Case(
        put("settlements", ticker == f"{GAME}-BBB", result="scalar", payout=-1), 1, f"{GAME}-BBB"
    ),
    "settlements payout_conflict": Case(
        put("settlements", ticker == f"{GAME}-AAA", result="no"), 1, f"{GAME}-AAA"
    ),
    "settlements settled_before_close": Case(
        put("settlements", ticker == MIDDLE, time=utc(6, 4, 59)), 1, MIDDLE
    ),
    "settlements unknown_ticker": Case(
        copy("settlements", ticker == FIRST, ticker="KXOTHER-26JAN05-A"), 1, "KXOTHER-26JAN05-A"
    ),
    "settlements closed_before_open": Case(
        put("settlements", ticker == f"{GAME}-AAA", close_time=utc(5, 12)),
        1,
        f"{GAME}-AAA",
        ("candles bar_after_close",),
    ),
    "settlements closed_late": Case(
        put("settlements", ticker == MIDDLE, close_time=utc(6, 5, 1)), 1, MIDDLE
    ),
    "settlements paid_late": Case(
        put("settlements", ticker == f"{GAME}-BBB", time=utc(5, 20) + timedelta(days=31)),
        1,
        f"{GAME}-BBB",
    ),
    "settlements unsettled": Case(
        both(
            without("settlements", ticker == FIRST),
            copy("books", at(FIRST, utc(5, 15, 0, 15)), ticker=f"{GAME}-AAA", time=utc(12, 16)),
        ),
        1,
        FIRST,
        ("books after_close", "books after_payout"),
    ),
    "settlements several_yes": Case(
        put("settlements", ticker == f"{GAME}-BBB", result="yes", payout=10_000), 1, GAME
    ),
    "settlements ladder_without_yes": Case(
        put("settlements", ticker == WARM, result="no", payout=0, value=None), 1, ladder(5)
    ),
    "settlements no_yes": Case(
        put("settlements", ticker == f"{GAME}-AAA", result="no", payout=0), 1, GAME
    ),
    "settlements strikes_disagree": Case(
        both(
            put(
                "markets",
                ticker == MIDDLE,
                strike_type="greater",
                floor_strike=43.5,
                cap_strike=None,
            ),
            put("settlements", ticker == MIDDLE, result="yes", payout=10_000, value=None),
            put("settlements", ticker == WARM, result="no", payout=0, value=None),
        ),
        1,
        ladder(5),
    ),
    "settlements result_against_value": Case(
        put("settlements", ticker == MIDDLE, value=40.0), 1, MIDDLE
    ),
    "settlements strike_too_coarse": Case(put("settlements", ticker == WARM, value=40.5), 1, WARM),
    "settlements chain_broken": Case(quarters(value=100.52), 1, FIRST),
    "settlements result_against_next_strike": Case(
        quarters(result="no", payout=0, value=None), 1, FIRST, ("revisions payout_revised",)
    ),
    "settlements tie_paid_no": Case(
        both(
            put("markets", ticker == SECOND, floor_strike=100.25),
            quarters(result="no", payout=0, value=None),
        ),
        1,
        FIRST,
        ("revisions payout_revised",),
    ),
    # --- revisions
    "revisions null_key": Case(put("revisions", EVER, ticker=None), 1, None),
    "revisions null_value": Case(put("revisions", EVER, result=None), 1, FIRST),
    "revisions time_range": Case(put("revisions", EVER, close_time=OLD), 1, FIRST),
    "revisions unknown_result": Case(put("revisions", EVER, result="void"), 1, FIRST),
    "revisions price_range": Case(
        put("revisions", EVER, result="scalar", payout=10_001),
        1,
        FIRST,
        ("revisions payout_revised",),
    ),
    "revisions payout_conflict": Case(put("revisions", EVER, result="no"), 1, FIRST),
    "revisions settled_before_close": Case(put("revisions", EVER, time=utc(5, 15)), 1, FIRST),
    "revisions payout_revised": Case(put("revisions", EVER, result="no", payout=0), 1, FIRST),
    # --- series, event_fees, coverage
    "series null_key": Case(
        put("series", pl.col("series") == "KXLOW", series=None),
        1,
        None,
        ("series no_fees",),
    ),
    "series null_value": Case(
        put("series", pl.col("series") == "KXLOW", fee_multiplier=None), 1, "KXLOW"
    ),
    "series unknown_fee_type": Case(
        put("series", pl.col("series") == "KXLOW", fee_type="flat"), 1, "KXLOW"
    ),
    "series negative_quantity": Case(
        put("series", pl.col("series") == "KXLOW", fee_multiplier=-1), 1, "KXLOW"
    ),
    "series no_fees": Case(without("series", pl.col("series") == "KXLOW"), 1, "KXLOW"),
    "series fees_start_late": Case(
        put("series", pl.col("series") == "KXLOW", effective_from=utc(5, 0)), 1, "KXLOW"
    ),
    "references null_key": Case(
        put("references", time == utc(5, 14, 30), symbol=None), 1, None, ()
    ),
    "references time_range": Case(put("references", time == utc(5, 14), time=OLD), 1, "BTC"),
    "references unparsable_number": Case(
        put("references", time == utc(5, 14, 30), value=float("inf")), 1, "BTC"
    ),
    "references reference_stale": Case(
        put("references", time.is_between(utc(5, 15), utc(5, 15, 59)), value=105.0), 1, "BTC"
    ),
    "references reference_elsewhere": Case(
        put("references", EVER, time=time + pl.duration(days=30)), 1, "BTC"
    ),
    "books null_key": Case(
        put("books", at(FIRST, utc(5, 15, 0, 15)), ticker=None),
        1,
        None,
        ("books unknown_ticker",),
    ),
    "books time_range": Case(
        copy("books", at(FIRST, utc(5, 15, 0, 15)), time=OLD), 1, FIRST, ("books before_open",)
    ),
    "event_fees null_key": Case(put("event_fees", EVER, event=None), 1, None),
    "event_fees time_range": Case(put("event_fees", EVER, effective_from=OLD), 1, GAME),
    "coverage coverage_inverted": Case(put("coverage", EVER, end=utc(5, 14)), 1, FIRST),
}
