"""One JSON table per exchange: time zone, opening, close and the weekdays without trading.

Packaged because importing exchange_calendars costs 1.5 s in every process; `make calendars`
regenerates the tables and a test holds them against that library.
"""
