"""The parts of yfinance that it keeps to itself: what it remembers within a process.

`yfinance.set_tz_cache_location` is public and says where; what is remembered can't be asked for or
forgotten by a public way.
"""


def set_time_zone(ticker: str, time_zone: str) -> None:
    """Tells a ticker's time zone, so that it is not asked for.

    That would cost a request per ticker, and for an unknown one a search through other pages that
    ends in "possibly delisted; no timezone found".
    """
    from yfinance.cache import get_tz_cache

    get_tz_cache().store(ticker, time_zone)


def forget_answers() -> None:
    """Lets the next request be one: the cache would answer a try with the failure before it."""
    from yfinance.data import YfData

    YfData().cache_get.cache_clear()
