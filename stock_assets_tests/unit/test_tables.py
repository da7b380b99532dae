"""What a person reads: prices with their digits, and plain words about what was not scored."""

from datetime import date
from io import StringIO
from typing import Any

import polars as pl
import pytest
from rich.console import Console, RenderableType

from stock_assets.commands import tables
from stock_assets.commands.tables import (
    forecast_table,
    narrow_forecast_table,
    price,
    print_table,
    score_lines,
    score_table,
)
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.summary import summarise, summarise_range


def text(shown: RenderableType, width: int = 130) -> str:
    console = Console(width=width, file=StringIO())
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1234.50"),
        (1.0, "1.00"),
        (0.99, "0.9900"),
        (0.1, "0.1000"),
        (0.0123456, "0.01235"),
        (0.00004, "0.00004000"),
        (-0.00004, "-0.00004000"),
        (0.0, "0.00"),
        (None, "-"),
    ],
)
def test_a_price_below_one_shows_four_significant_digits(value: float | None, shown: str):
    assert price(value) == shown


def forecasts(**changes: Any) -> pl.DataFrame:
    row = {
        "ticker": "PENNY",
        "as_of_session": date(2013, 3, 1),
        "target_session": date(2013, 3, 4),
        "close_usd": 0.00004,
        "forecast_close_usd": 0.000041,
        "lower_80_usd": 0.000031,
        "upper_80_usd": 0.000051,
        "lower_95_usd": None,
        "upper_95_usd": None,
        "model": "random_forest",
        "model_version": 3,
        "is_fallback": False,
    }
    return pl.DataFrame([row | changes])


def test_the_forecast_table_shows_small_prices_and_whose_shares_they_are_in():
    said = text(forecast_table(forecasts()))
    for part in ("0.00004000", "0.00004100", "0.00003100 .. 0.00005100", "random forest version 3"):
        assert part in said
    assert said.splitlines()[-1] == (
        "Prices are in the shares of that close: a split or dividend on the way to the target is"
        " not in them."
    )


def test_the_intervals_version_is_shown_where_it_is_another():
    assert "intervals" not in text(forecast_table(forecasts(intervals_version=3))).replace(
        "interval ", ""
    )
    assert "random forest version 3, intervals version 5" in text(
        forecast_table(forecasts(intervals_version=5))
    )
    young = forecasts(intervals_version=5, is_fallback=True, model="random_walk")
    assert "random walk, intervals version 5" in text(forecast_table(young))


def test_the_narrow_forecast_table_says_all_in_60_columns():
    dear = {"ticker": "BRK-A", "close_usd": 612345.0, "forecast_close_usd": 612345.0}
    dear |= {"lower_80_usd": 601234.0, "upper_80_usd": 623456.0}
    rows = pl.concat([forecasts(**dear, lower_95_usd=590123.0, upper_95_usd=634567.0), forecasts()],
                     how="vertical_relaxed")  # fmt: skip
    lines = text(narrow_forecast_table(rows), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    said = [" ".join(line.split()) for line in lines]
    assert "BRK-A 612345.00 612345.00 80 % 601234.00 .. 623456.00" in said
    assert "95 % 590123.00 .. 634567.00" in said
    assert "PENNY 0.00004000 0.00004100 80 % 0.00003100 .. 0.00005100" in said
    assert "Made by random forest version 3" in said


def test_the_narrow_score_table_has_every_column_in_60():
    scores = {"2013-02": summary(None, None, "no bar"), "POOLED": summary(None)}
    wide, narrow = (
        text(score_table("month", scores)),
        text(score_table("month", scores, narrow=True), width=60),
    )
    assert max(map(len, narrow.splitlines())) <= 60
    assert "…" not in narrow
    for row in scores:
        (of_wide,) = (line for line in wide.splitlines() if row in line)
        (of_narrow,) = (line for line in narrow.splitlines() if row in line)
        assert of_wide.replace("│", " ").split() == of_narrow.split()


def test_a_terminal_too_narrow_for_a_table_gets_its_narrow_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def printed(width: int | None) -> str:
        monkeypatch.setattr(tables, "terminal_width", lambda: width)
        print_table(forecast_table(forecasts()), narrow_forecast_table(forecasts()))
        return capsys.readouterr().out

    assert "made by" in printed(None)
    assert "made by" in printed(120)
    assert "made by" not in printed(60)


def summary(*reasons: str | None) -> dict[str, Any]:
    rows = [
        {
            "ticker": "A",
            "session": date(2013, 3, n + 1),
            "model": "random_walk",
            "is_fallback": True,
            **dict.fromkeys(
                [] if reason else ["error_return", "error_return_random_walk", "error_usd",
                                   "error_usd_random_walk"],
                0.00004,
            ),
            "covered_95": reason is None,
            "unscored_reason": reason,
        }
        for n, reason in enumerate(reasons)
    ]  # fmt: skip
    names = {n: t for n, t in SCORE_SCHEMA.items() if not n.startswith("rolling")}
    scores = pl.DataFrame(rows, schema=names)
    ends = {"from": "2013-03-01", "to": "2013-03-31"}
    return ends | summarise(scores) | summarise_range(scores, {})


def test_what_was_not_scored_is_shown_if_there_is_any():
    some, none = summary(None, None, "no bar", "no bar", "wrong"), summary(None, None)
    lines = score_lines(some)
    assert "  Not scored                 3: 2 no bar; 1 wrong" in lines
    assert "    by recorded closes       40.0% in the 95 % interval with them" in lines
    assert any("RMSE in dollars, pooled    0.00004000" in line for line in lines)
    assert not any("Not scored" in line for line in score_lines(none))
    assert score_lines(summary("no bar"))[1:] == [
        "2013-03-01 .. 2013-03-31: no forecast was scored.",
        "  Not scored                 1: 1 no bar",
        "    by recorded closes       0.0% in the 95 % interval with them",
    ]
    assert "unscored" in text(score_table("ticker", {"A": some, "B": none}))
    assert "unscored" not in text(score_table("ticker", {"B": none}))


def test_issued_and_hindsight_are_told_apart_where_any_was_issued():
    found = summary(None, None)
    assert found["scored"] == {"issued": 0, "hindsight": 2}
    assert not any("as issued" in line for line in score_lines(found))
    some = found | {"scored": {"issued": 300, "hindsight": 20}}
    assert "  Scored as issued           300; in hindsight 20" in score_lines(some)


def test_baselines_and_basket_have_a_line_each():
    law = {"crps": 0.02, "crps_forecast": 0.018, "interval_score_95": 0.1,
           "interval_score_95_forecast": 0.08, "coverage_95": 0.931}  # fmt: skip
    found = summary(None, None) | {
        "interval_baselines": {"ewma_normal": law, "split_conformal": law | {"crps": None}},
        "basket": {
            "sessions": 250,
            "coverage": {"95": 0.948},
            "next": {"as_of_session": "2013-03-01", "lower_95": -0.0123, "upper_95": 0.0131},
        },
    }
    lines = score_lines(found)
    assert (
        "  Beside ewma normal         CRPS 0.900, 95 % interval score 0.800 relative to the"
        " baseline, whose 95 % interval covered 93.1%"
    ) in lines
    assert any("Beside split conformal     95 % interval score 0.800" in s for s in lines)
    assert (
        "  Basket, equal weights      95 % interval covered 94.8% of 250 sessions; after"
        " 2013-03-01: -1.23% .. +1.31%"
    ) in lines
    assert not any("Basket" in line for line in score_lines(found | {"basket": None}))
