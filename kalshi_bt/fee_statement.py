"""One fee, step by step: terms, rate, exact product, rounding, what is handed back later."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from kalshi_bt.errors import UsageError
from kalshi_bt.fee_schedule import PUBLISHED, Schedule, Terms, general_terms, parse_multiplier
from kalshi_bt.fees import CENTICENT, MOST, balance_step, rounding_at
from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, ceil_to, exact_fee, fill_fee
from kalshi_bt.units import CENT, MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE, RATE_SCALE, format_money

BY_DATE: Final = "auto"
PRECISIONS: Final[Mapping[str, int]] = {"0.0001": 100, "0.01": CENT}  # micro-dollars
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Statement:
    """One fee and every step to it. Money is in micro-dollars.

    Attributes
    ----------
    series : str or None
    time : datetime or None
        Of the fill; None: under the newest rules.
    role : str
    price, quantity : int
        Centi-cents of the side bought, centi-contracts.
    terms : Terms
        Fee type and multiplier, since when, and from where.
    rate : int
        Parts per million.
    by_cent : bool
        Whether the order's fees were rounded up to the cent, the rule until March 2026.
    quantum, precision : int
        The steps of a trade fee and of the balance.
    exact : Fraction
        Dollars, before any rounding.
    trade_fee : int
        The exact fee, rounded up to `quantum`.
    aligned : int
        What the balance moves by: the purchase and the trade fee, rounded down to `precision`.
    alignment : int
        What that took.
    rebate : int
        What is handed back at once.
    fee : int
        What is charged.
    carried : int
        What the order's next fills may get back.
    """

    series: str | None
    time: datetime | None
    role: str
    price: int
    quantity: int
    terms: Terms
    rate: int
    by_cent: bool
    quantum: int
    precision: int
    exact: Fraction
    trade_fee: int
    aligned: int
    alignment: int
    rebate: int
    fee: int
    carried: int

    @property
    def per_contract(self) -> Fraction:
        """Dollars a contract."""
        return Fraction(self.fee * QUANTITY_SCALE, self.quantity * MONEY_SCALE)

    @property
    def percent_of_price(self) -> Fraction:
        """What the fee adds to the price, in per cent of it."""
        return Fraction(100 * self.fee, self.price * self.quantity)

    def json(self) -> dict[str, Any]:
        """Return every step as plain values; money and rates are decimal strings, exact."""
        since, time = self.terms.since, self.time
        return {
            "series": self.series,
            "date": None if time is None else _iso(time),
            "role": self.role,
            "price": _decimal(Fraction(self.price, PRICE_SCALE), 2),
            "count": _decimal(Fraction(self.quantity, QUANTITY_SCALE), 2),
            "fee_type": self.terms.fee_type,
            "multiplier": _decimal(Fraction(self.terms.multiplier, RATE_SCALE)),
            "since": None if since is None else _iso(since),
            "source": self.terms.source,
            "rate": _decimal(Fraction(self.rate, RATE_SCALE)),
            "exact": _decimal(self.exact),
            "rounding": "order_cent" if self.by_cent else "exchange",
            "step": _decimal(Fraction(self.quantum, MONEY_SCALE)),
            "precision": None if self.by_cent else _decimal(Fraction(self.precision, MONEY_SCALE)),
            "trade_fee": format_money(self.trade_fee),
            "balance_change": format_money(self.aligned),
            "alignment": format_money(self.alignment),
            "rebate": format_money(self.rebate),
            "carried": format_money(self.carried),
            "total": format_money(self.fee),
            "per_contract": _rounded(self.per_contract, 6),
            "percent_of_price": _rounded(self.percent_of_price, 4),
        }

    def text(self) -> str:
        """Return the steps as lines of text, the number asked for last."""
        j = self.json()
        where = f" in {self.series}" if self.series else ""
        when = "under the newest rules" if self.time is None else f"at {j['date']}"
        since = "" if j["since"] is None else f", since {j['since']}"
        k = Fraction(self.rate, max(self.terms.multiplier, 1))
        rows = [
            ("terms", f"{j['fee_type']}, multiplier {j['multiplier']} ({j['source']}{since})"),
            ("rate", f"{_decimal(k)} x {j['multiplier']} = {j['rate']} for a {self.role}"),
            ("exact", f"{j['rate']} x {j['count']} x {j['price']} x (1 - {j['price']}) = "),
            ("trade fee", f"up to a multiple of {j['step']}: {j['trade_fee']}"),
            *self._alignment(j),
            ("total", f"{j['total']} dollars"),
            ("per contract", f"{j['per_contract']} dollars"),
            ("of the price", f"{_rounded(self.percent_of_price, 2)} %"),
        ]
        rows[2] = ("exact", rows[2][1] + j["exact"])
        if not self.terms.multiplier:
            rows[1] = ("rate", f"0 for a {self.role}: the multiplier is zero")
        head = f"{j['count']} contracts at {j['price']}{where}, {self.role}, {when}"
        return "\n".join([head, *(f"  {name:<12}  {words}" for name, words in rows)]) + "\n"

    def _alignment(self, j: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the lines on the balance."""
        if self.by_cent:
            return [("later fills", "of this order use up the rest of the cent first")]
        spent = format_money(-self.price * self.quantity)
        move = format_money(-self.price * self.quantity - self.trade_fee)
        lines = [
            ("balance", f"{spent} - {j['trade_fee']} = {move}, down to a multiple of "),
            ("alignment", f"{j['alignment']}, of which handed back at once: {j['rebate']}"),
            ("carried", f"{j['carried']}, for later fills of this order to hand back"),
        ]
        lines[0] = ("balance", f"{lines[0][1]}{j['precision']}: {j['balance_change']}")
        return lines


def explain(
    price: str | float,
    count: str | float,
    role: str,
    *,
    series: str | None = None,
    event: str | None = None,
    date: str | datetime | None = None,
    precision: str = BY_DATE,
    schedule: Schedule = PUBLISHED,
    fee_type: str | None = None,
    multiplier: str | float | None = None,
) -> Statement:
    """Return the fee of buying `count` contracts at `price` in one fill, with every step to it.

    Parameters
    ----------
    price : str or float
        Dollars of the side bought, between 0 and 1, at most four decimals.
    count : str or float
        Contracts, at most two decimals.
    role : str
        taker or maker.
    series, event : str, optional
        Whose terms hold; without a series those of the general schedule.
    date : str or datetime, optional
        Of the fill: a day (its midnight, UTC) or a time with an offset. None: the newest rules.
    precision : str
        The step of the account's balance: 0.0001 (direct) or 0.01 dollars, or ``auto``, that of
        the date: 0.01 before 2026-05-28 and 0.0001 from then on.
    schedule : Schedule
        Where the terms of the series are looked up.
    fee_type, multiplier : str, optional
        Terms to use instead; with both of them the series need not be known.

    Raises
    ------
    UsageError
        If a value is out of its range, or the terms of the series are not known.

    Examples
    --------
    >>> found = explain("0.42", 10, "taker", series="KXBTC15M")
    >>> found.fee, float(found.exact)
    (170600, 0.17052)
    """
    cents = _scaled("price", price, PRICE_SCALE, PRICE_SCALE - 1)
    quantity = _scaled("count", count, QUANTITY_SCALE, MOST * QUANTITY_SCALE)
    time = parse_date(date)
    step = balance_precision(precision, time)
    ppm = None if multiplier is None else parse_multiplier(multiplier)
    if fee_type is not None and ppm is not None:
        terms = Terms(fee_type, ppm, None, "as given")
    else:
        terms = general_terms() if series is None else schedule.at(series, time, event)
        if fee_type is not None:
            terms = replace(terms, fee_type=fee_type, source=f"{terms.source}, type as given")
        if ppm is not None:
            terms = replace(terms, multiplier=ppm, source=f"{terms.source}, multiplier as given")
    rate = terms.rate(role, time)
    return _statement(series, time, role, (cents, quantity, rate), terms, step)


def balance_precision(named: str, time: datetime | None) -> int:
    """Return the step of a balance in micro-dollars, of the newest rules where there is no time.

    Raises
    ------
    UsageError
        If it is neither ``auto`` nor in `PRECISIONS`.

    Examples
    --------
    >>> balance_precision("auto", parse_date("2026-05-27")), balance_precision("auto", None)
    (10000, 100)
    """
    if named == BY_DATE:
        return CENTICENT if time is None else balance_step(microseconds(time))
    if named not in PRECISIONS:
        raise UsageError.unknown("precision", named, (BY_DATE, *PRECISIONS))
    return PRECISIONS[named]


def _statement(
    series: str | None,
    time: datetime | None,
    role: str,
    trade: tuple[int, int, int],
    terms: Terms,
    precision: int,
) -> Statement:
    price, quantity, rate = trade
    by_cent, quantum = (False, 1) if time is None else rounding_at(microseconds(time))
    quantum, revenue = CENT if by_cent else quantum, -price * quantity
    rounding = ORDER_CENT if by_cent else EXCHANGE
    fee, paid, _ = fill_fee(rounding, quantum, precision, rate, quantity, price, revenue, 0, 0)
    trade_fee = ceil_to(*exact_fee(rate, quantity, price), quantum)
    alignment = 0 if by_cent else (revenue - trade_fee) % precision
    return Statement(
        series=series,
        time=time,
        role=role,
        price=price,
        quantity=quantity,
        terms=terms,
        rate=rate,
        by_cent=by_cent,
        quantum=quantum,
        precision=precision,
        exact=Fraction(rate * quantity * price * (PRICE_SCALE - price), 10**16),
        trade_fee=trade_fee,
        aligned=revenue - trade_fee - alignment,
        alignment=alignment,
        rebate=trade_fee + alignment - fee,
        fee=fee,
        carried=0 if by_cent else paid,
    )


def microseconds(time: datetime) -> int:
    """Return microseconds since the epoch.

    Examples
    --------
    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (time - _EPOCH) // _MICROSECOND


def parse_date(text: str | datetime | None) -> datetime | None:
    """Return a time in UTC from a day or from a time with its offset.

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> parse_date("2026-07-03")
    datetime.datetime(2026, 7, 3, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if text is None:
        return None
    try:
        if isinstance(text, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        time = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date, such as 2026-07-03 or 2026-07-03T17:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"{time.isoformat()} has no offset; write {time.isoformat()}Z for UTC")
    return time.astimezone(UTC)


def _scaled(what: str, text: str | float, scale: int, most: int) -> int:
    """Return a positive number as a whole multiple of 1/scale, at most `most` of them."""
    try:
        value = Decimal(str(text)) * scale
        whole = int(value)
    except (InvalidOperation, ValueError, OverflowError):
        raise UsageError(f"{what} {text!r} is not a decimal number") from None
    if whole != value:
        raise UsageError(f"{what} {text} has more than {len(str(scale)) - 1} decimals")
    if not 0 < whole <= most:
        largest = _decimal(Fraction(most, scale))
        raise UsageError(f"{what} {text} is out of range; expected above 0, at most {largest}")
    return whole


def _decimal(value: Fraction, least: int = 0) -> str:
    """Return a fraction whose denominator divides a power of ten, exactly."""
    whole, part = divmod(abs(value), 1)
    digits = ""
    while part:
        digit, part = divmod(part * 10, 1)
        digits += str(digit)
    digits = digits.ljust(least, "0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def _rounded(value: Fraction, places: int) -> str:
    """Return a fraction rounded half up."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return str(exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
