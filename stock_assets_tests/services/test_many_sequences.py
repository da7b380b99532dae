"""Many sequences of what happens to a dataset, others at each run: see property/."""

from pathlib import Path

from stock_assets_tests.sequences import run_sequences, worlds_in


def test_any_sequence_ends_as_if_made_from_nothing(tmp_path: Path):
    with worlds_in(tmp_path) as worlds:
        run_sequences(worlds, examples=16, steps=7, derandomize=False)
