"""What `make soak` calls growth, on readings that were made up."""

import pytest

from stock_assets_tests.benchmarks.soak import Reading, faults, growth


def readings(
    files: float = 0, threads: float = 0, temporary: float = 0, memory_kb: float = 0
) -> list[Reading]:
    """Of 40 runs; the arguments are what each run adds. The first ten warm up in any case."""
    return [
        Reading(
            runs=n,
            open_files=10 + min(n, 10) + int(files * n),
            threads=4 + min(n, 10) + n % 3 + int(threads * n),
            temporary_files=int(temporary * n),
            memory_kb=500_000 + 9_000 * min(n, 10) + (-1) ** n * 900 + memory_kb * n,
            database_bytes=1_000_000 + 5_000 * n,
        )
        for n in range(1, 41)
    ]


def test_what_comes_and_goes_and_what_warms_up_is_no_growth():
    assert faults(readings()) == []
    assert growth(readings())["database_bytes"] == 5_000


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        ({"files": 1}, "open_files grows by 1.000 a run"),
        ({"threads": 0.5}, "threads grows by 0.5"),
        ({"temporary": 1}, "temporary_files grows by 1.000 a run"),
        ({"memory_kb": 1_000}, "memory_kb grows by 1000.0 a run"),
    ],
)
def test_each_leak_is_named(leak: dict[str, float], said: str):
    (fault,) = faults(readings(**leak))
    assert fault.startswith(said)
