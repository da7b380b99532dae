"""Calendar months by their keys, as `2013-02`: keys in order are months in order."""

from datetime import date

MONTH_FORMAT = "%Y-%m"


def month_of(key: str) -> date:
    """The first day of the month that a key names."""
    return date.fromisoformat(f"{key}-01")


def month_key(day: date) -> str:
    """The key of the month in which a day lies."""
    return day.strftime(MONTH_FORMAT)


def months_before(day: date, count: int) -> date:
    """The first day of the month `count` months before that in which a day lies."""
    ordinal = day.year * 12 + day.month - 1 - count
    return date(ordinal // 12, ordinal % 12 + 1, 1)
