"""Window sums and medians against plain loops, and against themselves from another start."""

import math
import statistics

import numpy as np
import pytest

from stock_assets.market.windows import (
    decaying_sums,
    in_blocks,
    least_values,
    medians_before,
    ramp_sums,
)

VALUES = np.random.default_rng(7).standard_normal(40_000)


@pytest.mark.parametrize("count", [1, 2, 5, 19, 20, 62, 63])
@pytest.mark.parametrize("decay", [1, 1 / 3, 31 / 33])
def test_decaying_sums_are_the_weighted_sums_of_their_windows(count: int, decay: float):
    sums = decaying_sums(VALUES[:200], decay, count)
    assert len(sums) == 200 - count + 1
    for at in (0, 17, len(sums) - 1):
        window = VALUES[at : at + count][::-1]
        expected = math.fsum(decay**n * value for n, value in enumerate(window))
        assert sums[at] == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_sums_that_are_kept_between_calls_are_the_same():
    made: dict[tuple[float, int], np.ndarray] = {}
    for decay, count in ((1, 5), (1, 60), (1, 62), (1, 10), (0.9, 62), (0.9, 20)):
        alone = decaying_sums(VALUES, decay, count)
        assert np.array_equal(decaying_sums(VALUES, decay, count, made), alone)


def test_the_newest_value_weighs_most_in_a_ramp():
    assert ramp_sums(np.array([100.0, 10.0, 1.0, 0.0]), 3).tolist() == [123.0, 12.0]


@pytest.mark.parametrize("start", [1, 2, 3, 5, 8, 61, 16_383])
def test_the_start_of_a_range_shows_in_no_last_bit(start: int):
    for decay in (1, 31 / 33):
        whole = decaying_sums(VALUES, decay, 63)
        assert np.array_equal(decaying_sums(VALUES[start:], decay, 63), whole[start:])
    whole = ramp_sums(np.log(np.abs(VALUES)), 19)
    assert np.array_equal(ramp_sums(np.log(np.abs(VALUES[start:])), 19), whole[start:])


def test_one_unknown_value_makes_its_own_windows_unknown_and_no_other():
    values = VALUES[:300].copy()
    values[100] = np.nan
    for sums in (decaying_sums(values, 0.9, 63), ramp_sums(values, 63)):
        assert np.flatnonzero(np.isnan(sums)).tolist() == list(range(100 - 62, 101))


@pytest.mark.parametrize("count", [1, 2, 5, 21])
def test_least_values_are_those_of_their_windows(count: int):
    values = np.where(np.abs(VALUES[:300]) < 0.2, np.nan, VALUES[:300])
    values[100:130] = np.nan
    found = least_values(values, count)
    assert len(found) == 300 - count + 1
    for at, least in enumerate(found):
        known = [value for value in values[at : at + count] if not math.isnan(value)]
        assert least == min(known) if known else math.isnan(least)


@pytest.mark.parametrize("span", [20, 21])
def test_medians_are_those_of_the_ordinals_before_in_the_same_group(span: int):
    random = np.random.default_rng(3)
    groups = np.sort(random.integers(0, 12, 10_000)).astype(np.int64)
    ordinals = np.cumsum(np.where(random.random(10_000) < 0.03, 4, 1)).astype(np.int64)
    values = np.where(random.random(10_000) < 0.02, np.nan, np.abs(VALUES[:10_000]))
    found = medians_before(values, ordinals, groups, span, fewest=10)
    lacking = 0
    for at in [*range(100), *range(100, 10_000, 7)]:
        window = [
            values[n]
            for n in range(max(0, at - span), at)
            if groups[n] == groups[at]
            and ordinals[n] >= ordinals[at] - span
            and not math.isnan(values[n])
        ]
        if len(window) < 10:
            lacking += 1
            assert math.isnan(found[at])
        else:
            assert found[at] == pytest.approx(statistics.median(window), rel=1e-15)
    assert lacking >= 10


def test_every_row_is_in_one_block_and_an_error_in_a_block_is_seen():
    seen = np.zeros(50_000, dtype=int)

    def count(first: int, last: int) -> None:
        seen[first:last] += 1

    in_blocks(count, 62, 50_000)
    assert seen[:62].sum() == 0
    assert set(seen[62:]) == {1}
    in_blocks(count, 62, 10)
    assert seen[:62].sum() == 0

    def fail(_first: int, _last: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_blocks(fail, 0, 50_000)
