"""What tests of the exchange's client need."""

from local_exchange import local

__all__ = ["local"]
