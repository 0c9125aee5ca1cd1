"""The exchange itself: whether it is open, when, since when, and what it asks of an account."""

from live_adapter.exchange import wire
from live_adapter.exchange.asked import Asked
from live_adapter.exchange.wire import Json


def status_body(*, active: bool) -> Json:
    """Return the state of the exchange."""
    shard = {
        "exchange_index": 0,
        "description": "Default",
        "exchange_active": active,
        "trading_active": active,
        "intra_exchange_transfers_active": active,
    }
    return {
        "exchange_active": active,
        "trading_active": active,
        "intra_exchange_transfers_active": active,
        "exchange_estimated_resume_time": None,
        "exchange_index_statuses": [shard],
    }


def status(asked: Asked) -> Json:
    """Answer that the exchange is open."""
    del asked
    return status_body(active=True)


def schedule(asked: Asked) -> Json:
    """Answer the hours of trading, US Eastern: all but Thursday from three to five."""
    del asked
    whole = [{"open_time": "00:00", "close_time": "00:00"}]
    days = ("monday", "tuesday", "wednesday", "friday", "saturday", "sunday")
    pause = [
        {"open_time": "00:00", "close_time": "03:00"},
        {"open_time": "05:00", "close_time": "00:00"},
    ]
    hours = {
        "start_time": "2024-12-01T00:00:00Z",
        "end_time": "2200-12-01T00:00:00Z",
        **dict.fromkeys(days, whole),
        "thursday": pause,
    }
    return {"schedule": {"standard_hours": [hours], "maintenance_windows": []}}


def cutoff(asked: Asked) -> Json:
    """Answer where the historical tier begins."""
    at = wire.moment(asked.archive.cutoff)
    names = ("market_settled", "trades_created", "orders_updated", "market_positions_last_updated")
    return {f"{name}_ts": at for name in names}


def limits(asked: Asked) -> Json:
    """Answer the token buckets of the account."""
    buckets = {"read": asked.limits.read, "write": asked.limits.write}
    return {
        "usage_tier": "basic",
        **{
            n: {"refill_rate": rate, "bucket_capacity": held} for n, (rate, held) in buckets.items()
        },
        "grants": [],
    }


def costs(asked: Asked) -> Json:
    """Answer what a request costs: the same for every endpoint there is here."""
    del asked
    return {"default_cost": 10, "endpoint_costs": []}
