"""Many sequences of what happens to a dataset, others at each run: see property/."""

from pathlib import Path

import pytest

from stock_assets_tests.sequences import run_sequences, worlds_in


@pytest.mark.timeout(1500)
def test_any_sequence_ends_as_if_made_from_nothing(tmp_path: Path):
    with worlds_in(tmp_path) as worlds:
        run_sequences(worlds, examples=8, steps=7, derandomize=False)
