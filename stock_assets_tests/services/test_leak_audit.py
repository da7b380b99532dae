"""The audit for look-ahead at full size: twenty clean universes, the zoo on five years of prices.

It needs no server, and is here for the time it takes.
"""

import time
from datetime import date

import pytest

from stock_assets.commands.audit_leaks import audit_leaks
from stock_assets.leaks.audit import audit
from stock_assets.leaks.zoo import LEAKS
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.settings import Settings
from stock_assets_tests.clean_universes import clean_universe, small_plan

LAST = date(2013, 3, 1)


@pytest.mark.parametrize("seed", range(100, 120))
def test_no_alarm_on_a_clean_universe(seed: int, xnys: ExchangeCalendar):
    clean = clean_universe(xnys, seed)
    family = "ridge" if seed % 2 else "extra_trees"
    plan = small_plan(xnys, clean.bars["session"].min(), family)
    assert audit(clean, plan, cuts=10, seed=seed).changes == []


def test_five_tickers_and_five_years_have_no_leak_and_take_less_than_a_minute():
    start = time.process_time()
    found = audit_leaks(Settings(), None, LAST, 10, 1)
    seconds = time.process_time() - start
    assert found["leaks"] == []
    assert (found["from"], found["to"], found["tickers"]) == ("2008-03-03", "2013-03-01", 5)
    assert seconds < 60


def test_the_whole_zoo_is_named_on_five_years_of_real_prices():
    found = audit_leaks(Settings(), None, LAST, 10, 1, zoo=True)
    assert [leak["name"] for leak in found["leaks"] if not leak["is_named"]] == []
    assert len(found["leaks"]) == len(LEAKS)
