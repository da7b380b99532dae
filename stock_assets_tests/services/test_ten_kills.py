"""The promise of integration/test_killed_backfill.py at ten moments. It takes minutes."""

import pytest

from stock_assets_tests.integration.test_killed_backfill import (
    Backfills,
    assert_a_kill_costs_nothing,
    backfills,
)

__all__ = ["backfills"]


@pytest.mark.parametrize("seed", range(10, 20))
def test_a_backfill_killed_at_any_moment_is_completed_by_the_next(backfills: Backfills, seed: int):
    assert_a_kill_costs_nothing(backfills, seed)
