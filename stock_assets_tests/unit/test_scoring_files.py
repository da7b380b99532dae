"""What a file of forecasts may say, in both formats, and what is refused of it in which words."""

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from stock_assets.errors import InvalidFileError, InvalidForecastsError
from stock_assets.forecasting.evaluation import HINDSIGHT, ISSUED
from stock_assets.market.sessions import load_calendar
from stock_assets.scoring.forecast_files import READ_SCHEMA, read_forecasts
from stock_assets.scoring.submission import (
    Model,
    check_tickers,
    submitted_models,
    unit_of,
    with_sessions,
)
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.scored import D1, D2, D3, MLFORECAST

XNYS = load_calendar("XNYS")
CLOSES = pl.DataFrame(
    {"ticker": ["A", "B", "A"], "target_session": [D2, D2, D3], "close_usd": [100.0, 10.0, 50.0]}
)
LONG = "location,reference_date,target_end_date,output_type,output_type_id,value\n"


def written(folder: Path, text: str, name: str = "mine.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def models(file: Path, unit: str | None = None, horizon: int = 1) -> list[Model]:
    rows = with_sessions(read_forecasts(file), XNYS, horizon)
    return submitted_models(rows, CLOSES, unit_of(rows, unit), XNYS)


def refused(folder: Path, text: str, unit: str | None = None, name: str = "mine.csv") -> str:
    with pytest.raises((InvalidFileError, InvalidForecastsError)) as error:
        models(written(folder, text, name), unit)
    return str(error.value).removeprefix(f"{folder}/")


def test_the_wide_format_of_nixtla(tmp_path: Path):
    """As mlforecast writes it, with the index of pandas: points, intervals, several models."""
    text = (
        ",unique_id,ds,cutoff,y,LGBM,LGBM-lo-80,LGBM-hi-80,Naive,NHITS-median,NHITS-lo-95.0\n"
        "0,A,2024-03-01,2024-02-29,101.5,102,90,110,100,101,80\n"
        "1,B,2024-03-01,2024-02-29,9.5,10,9,11,10,10.1,8\n"
    )
    one, two, three = models(written(tmp_path, text))
    assert [m.name for m in (one, two, three)] == ["LGBM", "NHITS", "Naive"]
    assert (one.levels, two.levels, three.levels) == ((0.1, 0.9), (0.025, 0.5), ())
    row = one.forecasts.row(0, named=True)
    assert (row["ticker"], row["target_session"]) == ("A", D2)
    assert row["point"] == pytest.approx(math.log(1.02))
    assert row["quantiles"] == pytest.approx([math.log(0.9), math.log(1.1)])
    # A median is the point of who gives no other.
    assert two.forecasts["point"].to_list() == pytest.approx([math.log(1.01)] * 2)
    assert three.forecasts["point"].to_list() == [0.0, 0.0]


def test_the_long_format_with_every_output_type(tmp_path: Path):
    rows = (
        "mean,NA,0.01\nquantile,0.1,-0.02\nquantile,0.5,0\nupper,80,0.03\n"
        "pmf,rank1,0.1\npmf,rank2,0.2\npmf,3,0.3\npmf,Rank4,0.3\npmf,rank5,0.1\n"
    )
    text = LONG + "".join(f"A,2024-02-29,2024-03-01,{row}\n" for row in rows.split())
    (one,) = models(written(tmp_path, text), "return")
    assert (one.name, one.levels, one.has_point, one.has_ranks) == (
        "mine",
        (0.1, 0.5, 0.9),
        True,
        True,
    )
    assert one.forecasts.row(0)[2:] == (0.01, [-0.02, 0.0, 0.03], [0.1, 0.2, 0.3, 0.3, 0.1])


def test_parquet_with_other_names_numbers_as_ids_and_several_models(tmp_path: Path):
    frame = pl.DataFrame(
        {
            "model_id": ["x", "x", "y"],
            "ticker": ["A", "A", "A"],
            "target_session": [D2, D2, D2],
            "output_type": ["quantile", "quantile", "point"],
            "output_type_id": [0.25, 0.75, None],
            "value": [99.0, 101.0, 100.0],
            "unknown": ["is", "passed", "over"],
        }
    )
    frame.write_parquet(tmp_path / "f.parquet")
    x, y = models(tmp_path / "f.parquet")
    assert (x.name, x.levels, y.name, y.levels) == ("x", (0.25, 0.75), "y", ())


def test_a_folder_is_read_whole_and_each_model_is_named_after_its_own(tmp_path: Path):
    for name, day in (("a", "2024-03-01"), ("a", "2024-03-04"), ("b", "2024-03-01")):
        text = f"unique_id,ds,m\nA,{day},50\n".replace("m\n", f"{name}\n")
        written(tmp_path, text, f"hub/{name}/{day}-{name}.csv")
    long = LONG + "A,2024-02-29,2024-03-01,point,,101\n"
    written(tmp_path, long, "hub/team-c/2024-02-29-team-c.csv")
    rows = read_forecasts(tmp_path / "hub")
    assert rows.schema == pl.Schema(READ_SCHEMA)
    assert rows.group_by("model").len().sort("model").rows() == [("a", 2), ("b", 1), ("team-c", 1)]


@pytest.mark.parametrize(
    "columns", ["location,reference_date", "location,target_end_date", "ticker,as_of_session"]
)
def test_one_of_the_two_sessions_is_enough(tmp_path: Path, columns: str):
    day = "2024-03-01" if "target" in columns else "2024-02-29"
    text = f"{columns},output_type,output_type_id,value\nA,{day},point,,101\n"
    rows = with_sessions(read_forecasts(written(tmp_path, text)), XNYS, 1)
    assert rows.row(0)[2:4] == (D1, D2)
    assert with_sessions(read_forecasts(tmp_path / "mine.csv"), XNYS, 2).row(0)[2:4] != (D1, D2)


def test_the_unit_is_what_the_file_says_or_prices(tmp_path: Path):
    columns = "location,target_end_date,target,output_type,output_type_id,value\n"
    for target, unit in (("log return", "return"), ("close", "price"), ("", "price")):
        text = f"{columns}A,2024-03-01,{target},point,,1\nA,2024-03-01,fifth,pmf,rank1,1\n"
        assert unit_of(read_forecasts(written(tmp_path, text)), None) == unit
    text = f"{columns}A,2024-03-01,wk inc flu hosp,point,,1\n"
    assert refused(tmp_path, text) == (
        "the column target says 'wk inc flu hosp', not one of 'log return', 'close'; say what"
        " values are with --unit price or --unit return, one target a file"
    )
    assert unit_of(read_forecasts(tmp_path / "mine.csv"), "price") == "price"


def test_adjusted_prices_start_from_their_own_base(tmp_path: Path):
    text = "unique_id,ds,base,M\nA,2024-03-01,25,25.5\nB,2024-03-01,10,10.2\n"
    (one,) = models(written(tmp_path, text))
    assert one.forecasts["point"].to_list() == pytest.approx([math.log(1.02)] * 2)
    assert refused(tmp_path, text.replace("base", "y") + "A,2024-03-05,,50\n") == (
        "M, A: most values are far from the close before them, as 25.5 from 100; prices are to be"
        " in the shares of that close, as traded. For adjusted prices add a column `base` with the"
        " adjusted close that the forecast starts from; for log returns say --unit return"
    )
    assert refused(tmp_path, text.replace("base", "y"), "return") == (
        "M, A: most values are far from no change, as 25.5; they are to be log returns. For prices"
        " say --unit price"
    )


@pytest.mark.parametrize(
    ("moment", "record"),
    [
        ("2024-03-01T14:29:59Z", ISSUED),  # it opens at 9.30 in New York
        ("2024-03-01T09:29:59-05:00", ISSUED),
        ("2024-03-01 14:30:00+00:00", HINDSIGHT),
        ("", HINDSIGHT),
    ],
)
def test_issued_is_what_was_there_before_the_target_opened(
    tmp_path: Path, moment: str, record: str
):
    (one,) = models(written(tmp_path, f"unique_id,ds,issued_at,M\nA,2024-03-01,{moment},100\n"))
    assert one.records == {ISSUED: 0, HINDSIGHT: 0} | {record: 1}
    stamp = datetime.fromisoformat(moment).astimezone(UTC) if moment else None
    frame = pl.DataFrame(
        {"unique_id": ["A"], "ds": [D2], "issued_at": [stamp], "M": [100.0]},
        schema_overrides={"issued_at": pl.Datetime("ns", "UTC")},
    )
    frame.write_parquet(tmp_path / "f.parquet")
    assert models(tmp_path / "f.parquet")[0].records == one.records


def test_a_forecast_that_ours_lacks_is_whole_all_the_same(tmp_path: Path):
    """Its price starts from a close that is not stored: it is not compared, and not refused."""
    text = "unique_id,ds,M,M-lo-80,M-hi-80\nA,2024-03-01,101,90,110\nB,2024-03-04,10,9,11\n"
    (one,) = models(written(tmp_path, text))
    assert (one.forecasts["ticker"].to_list(), one.incomplete) == (["A", "B"], 0)
    assert math.isnan(one.forecasts["point"][1])


def test_a_moment_without_a_zone_is_none(tmp_path: Path):
    text = "unique_id,ds,issued_at,M\nA,2024-03-01,2024-03-01 09:00:00,100\n"
    assert refused(tmp_path, text).startswith(
        "mine.csv: row 2, column issued_at: '2024-03-01 09:00:00' can't be read as Datetime"
    )


def test_forecasts_that_lack_a_number_are_incomplete_not_filled(tmp_path: Path):
    text = LONG + "".join(
        f"A,{day},{row}\n"
        for day, rows in (
            ("2024-02-29,2024-03-01", ("quantile,0.1,-0.1", "quantile,0.9,0.1")),
            ("2024-03-01,2024-03-04", ("quantile,0.1,-0.1",)),
        )
        for row in rows
    )
    (one,) = models(written(tmp_path, text), "return")
    assert (one.forecasts["target_session"].to_list(), one.incomplete) == ([D2], 1)


WIDE = "unique_id,ds,M,M-lo-80,M-hi-80\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{WIDE}A,2024-03-01,100,101,99\n",
            "M, A 2024-03-01: the quantile 0.9 lies below that of 0.1; quantiles must not cross:"
            " sort them, or leave the forecast out",
        ),
        (
            f"{WIDE}A,2024-03-01,100,99,101\nA,2024-03-01,100,99,101\n",
            "M, A 2024-03-01: the point is there more than once; keep one",
        ),
        (
            f"{WIDE}A,2024-03-01,NaN,99,101\n",
            "M, A 2024-03-01: the point is nan; leave out what was not forecast",
        ),
        (
            f"{WIDE}A,2024-03-01,100,99,inf\n",
            "M, A 2024-03-01: the quantile 0.9 is inf; leave out what was not forecast",
        ),
        (
            f"{WIDE}A,2024-03-01,100,,101\n",
            "mine.csv: row 2, column M-lo-80: is missing; complete or leave out the row",
        ),
        (
            f"{WIDE}A,2024-03-01,0.01,-0.02,0.02\n",
            "M, A 2024-03-01: the quantile 0.1 is -0.02, which is no price; are values log returns?"
            " Then say --unit return",
        ),
        (
            f"{WIDE}A,2024-03-02,100,99,101\n",
            "M, A: target session 2024-03-02 is not a session of XNYS but a Saturday; the nearest"
            " are 2024-03-01 and 2024-03-04",
        ),
        (
            "unique_id,ds,cutoff,M\nA,2024-03-04,2024-02-29,100\n",
            "M: the forecast of A for 2024-03-04 is from 2024-02-29, which is not one session"
            " before; this dataset is of one session ahead, another is made with"
            " STOCK_ASSETS_HORIZON",
        ),
        (
            "location,reference_date,horizon,output_type,output_type_id,value\n"
            "A,2024-02-29,3,point,,100\n",
            "mine: a forecast of A has the horizon 3; this dataset is of one session ahead, another"
            " is made with STOCK_ASSETS_HORIZON",
        ),
        (
            f"{LONG}A,2024-02-29,2024-03-01,quantile,1.5,100\n",
            "mine.csv: output_type_id '1.5' of output_type quantile; it is a level between 0 and 1",
        ),
        (
            f"{LONG}A,2024-02-29,2024-03-01,pmf,rank6,1\n",
            "mine.csv: output_type_id 'rank6' of output_type pmf; it is rank1 (lowest) to rank5",
        ),
        (
            f"{LONG}A,2024-02-29,2024-03-01,sample,1,100\n",
            "mine.csv: output_type 'sample'; there are point, mean, median, quantile, lower, upper,"
            " pmf",
        ),
        (
            LONG + "".join(f"A,2024-02-29,2024-03-01,pmf,rank{n},0.3\n" for n in range(1, 6)),
            "mine, A 2024-03-01: the probability of rank 1.0 is 0.3: the five must be at least 0"
            " and add up to 1",
        ),
        (
            "unique_id,ds,M-lo-101\nA,2024-03-01,1\n",
            "mine.csv: column M-lo-101: no interval holds 101 per cent",
        ),
        (
            "a,b\n1,2\n",
            "mine.csv has neither the columns output_type, output_type_id, value (long) nor"
            " unique_id, ds (wide); it has a, b",
        ),
        (
            "unique_id,ds\nA,2024-03-01\n",
            "mine.csv has no column of forecasts beside unique_id, ds",
        ),
        (
            "location,output_type,output_type_id,value\nA,point,,1\n",
            "mine.csv: no column of a session: target_end_date, target_date, target_session, ds,"
            " reference_date, origin_date, forecast_date, as_of_session, cutoff",
        ),
        (
            "ds,output_type,output_type_id,value\n2024-03-01,point,,1\n",
            "mine.csv: no column location or ticker or unique_id",
        ),
    ],
)
def test_what_can_be_no_forecast_is_refused_with_its_first_case(
    tmp_path: Path, text: str, said: str
):
    assert refused(tmp_path, text) == said


def test_tickers_that_the_dataset_lacks_are_named():
    rows = pl.DataFrame({"ticker": ["A", *(f"X{n}" for n in range(7))]})
    with pytest.raises(InvalidForecastsError) as error:
        check_tickers(rows, ["B", "A"], "sample")
    assert str(error.value) == (
        "sample has no forecast of X0, X1, X2, X3, X4 and 2 more in these sessions, but of A, B;"
        " leave their rows out, or choose others with --tickers"
    )
    check_tickers(rows.head(1), ["B", "A"], "sample")


def test_a_file_that_is_none(tmp_path: Path):
    for path in (tmp_path / "no.csv", tmp_path, written(tmp_path / "x", "a\n", "a.txt")):
        with pytest.raises(InvalidFileError, match=r"is no \.csv or \.parquet file, nor a folder"):
            read_forecasts(path)
    with pytest.raises(InvalidFileError, match="can't be read"):
        read_forecasts(written(tmp_path, "no parquet", "f.parquet"))


def test_the_page_shows_files_that_are_read_and_the_code_that_makes_one(tmp_path: Path):
    page = (CHECKOUT / "docs" / "score.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```csv\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found = [models(written(tmp_path, block), "return")[0] for block in blocks]
    assert [(one.name, one.levels) for one in found] == [("LightGBM", (0.1, 0.9)), ("mine", (0.1,))]
    file = CHECKOUT / "stock_assets_tests" / "benchmarks" / "mlforecast_file.py"
    assert file.read_text().partition("def ")[2] in page
    assert MLFORECAST.read_text().partition("\n")[0].split(",")[:4] == [
        "unique_id",
        "ds",
        "cutoff",
        "LightGBM",
    ]
