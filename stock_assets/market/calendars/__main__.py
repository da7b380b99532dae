"""Regenerates the packaged tables: `python -m stock_assets.market.calendars [EXCHANGE …]`."""

import json
import sys
from pathlib import Path
from typing import Any

FIRST_YEAR, LAST_YEAR = 1990, 2030
EXCHANGES = ("XNYS", "XLON", "XTKS")


def session_table(exchange: str) -> dict[str, Any]:
    """The table of one exchange, from the first to the last year that its rules cover."""
    import exchange_calendars
    import pandas as pd

    rules = exchange_calendars.calendar_utils._default_calendar_factories[exchange]
    first = max(pd.Timestamp(FIRST_YEAR, 1, 1), rules.bound_min() or pd.Timestamp.min)
    last = min(pd.Timestamp(LAST_YEAR, 12, 31), rules.bound_max() or pd.Timestamp.max)
    calendar = exchange_calendars.get_calendar(exchange, start=first, end=last)
    weekdays = pd.bdate_range(first, last)
    return {
        "exchange": exchange,
        "time_zone": str(calendar.tz),
        "open": calendar.open_times[-1][1].strftime("%H:%M"),
        "close": calendar.close_times[-1][1].strftime("%H:%M"),
        "first": first.date().isoformat(),
        "last": last.date().isoformat(),
        "weekday_holidays": [
            day.date().isoformat() for day in weekdays.difference(calendar.sessions)
        ],
    }


def main(exchanges: list[str]) -> None:
    for exchange in exchanges or EXCHANGES:
        path = Path(__file__).parent / f"{exchange}.json"
        path.write_text(json.dumps(session_table(exchange), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
