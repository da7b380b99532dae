"""How numbers look to a person, on the page and in the terminal."""

import math


def price(value: float | None) -> str:
    """Cents, or as many digits as show four significant ones of a price below 1."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 3 - math.floor(math.log10(size)) if 0 < size < 1 else 2
    return f"{value:.{digits}f}"


def percent(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}%}"


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """1 session, 2 sessions."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
