"""The dashboard "Forecasts": errors against their thresholds and the random walk, and coverage."""

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.common import LineStyle, TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
)
from grafana_foundation_sdk.models.units import Dollars, PercentUnit
from panels import (
    DATA_SOURCE,
    DAY,
    WIDTH,
    age,
    board,
    instant,
    lines,
    number,
    of_all_tickers,
    of_tickers,
    rows,
    series,
    steps,
    variable,
    with_panels,
)

from stock_assets.resources.metrics import JOB

INTERVALS = ("50", "80", "95")


def forecasts() -> object:
    built = (
        board(
            "Forecasts",
            "stock-assets-forecasts",
            "Errors of the daily forecasts, the random walk beside them.",
            "now-90d",
        )
        .with_variable(variable("Dataset", f'job="{JOB}"'))
        .with_variable(variable("Ticker", f'job="{JOB}", dataset=~"$dataset"'))
        .annotation(_new_versions())
    )
    panels = [
        _age_of_data(),
        _age_of_last_push(),
        _above_threshold(),
        _version(),
        _rolling_rmse(),
        _ratio(),
        _rmse_usd(),
        _coverage(),
        _by_ticker(),
    ]
    return with_panels(built, panels)


def _new_versions() -> AnnotationQuery:
    """A mark where a version appeared that did not forecast an hour before."""
    version = of_all_tickers("stock_assets_champion_version")
    return (
        AnnotationQuery()
        .name("New version")
        .datasource(DATA_SOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(f"{version} unless {version} offset 1h")
        .title_format("version {{version}} ({{dataset}})")
    )


def _age_of_data() -> stat.Panel:
    # Friday's session stays the newest until Wednesday morning where Monday is a holiday: 5.5 days.
    return age(
        "Age of data",
        "Since the session that was scored last; of the ticker where that is longest ago.",
        of_tickers("stock_assets_session_timestamp_seconds"),
        limit=5.75 * DAY,
    )


def _age_of_last_push() -> stat.Panel:
    return age(
        "Age of last push",
        "Since metrics arrived; of the ticker where that is longest ago. Alert: MetricsStale.",
        of_tickers("stock_assets_last_success_timestamp_seconds"),
        limit=4.5 * DAY,
    )


def _above_threshold() -> stat.Panel:
    above = (
        f"sum({of_tickers('stock_assets_rmse_return')}"
        f" > bool {of_tickers('stock_assets_rmse_threshold')})"
    )
    return (
        number("Tickers above threshold", "Whose rolling RMSE is in breach; no data is not zero.")
        .decimals(0)
        .thresholds(steps((None, "green"), (1, "red")))
        .with_target(instant("A", above))
    )


def _version() -> stat.Panel:
    return (
        number("Version", "Of the model behind the newest scored forecasts; 0: the random walk.")
        .decimals(0)
        .with_target(instant("A", f"max({of_all_tickers('stock_assets_champion_version')})"))
    )


def _rolling_rmse() -> timeseries.Panel:
    return (
        lines(
            "Rolling RMSE",
            "Log return. Solid: forecast; dashed: random walk; red: the highest threshold."
            " POOLED: all tickers as one. Alert: RmseAboveThreshold.",
        )
        .decimals(4)
        .with_target(series("A", of_tickers("stock_assets_rmse_return"), "{{ticker}}"))
        .with_target(
            series(
                "B", of_tickers("stock_assets_rmse_return_random_walk"), "{{ticker}} random walk"
            )
        )
        .with_target(series("C", f"max({of_tickers('stock_assets_rmse_threshold')})", "threshold"))
        .with_override(
            MatcherConfig(id_val="byFrameRefID", options="B"),
            [DynamicConfigValue("custom.lineStyle", LineStyle().fill("dash").dash([6, 6]).build())],
        )
        .override_by_name("threshold", _RED_LINE)
        .height(9)
        .span(WIDTH)
    )


_RED_LINE = [
    DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
    DynamicConfigValue("custom.lineWidth", 2),
]


def _ratio() -> timeseries.Panel:
    return (
        lines(
            "RMSE as a multiple of the random walk's",
            "Below 1 the forecast is better than the random walk; red: the highest threshold."
            " Alert: RmseWorseThanRandomWalk.",
        )
        .decimals(3)
        .with_target(series("A", of_tickers("stock_assets_rmse_ratio"), "{{ticker}}"))
        .with_target(
            series("B", f"max({of_tickers('stock_assets_rmse_threshold_ratio')})", "threshold")
        )
        .override_by_name("threshold", _RED_LINE)
    )


def _rmse_usd() -> timeseries.Panel:
    return (
        lines("Rolling RMSE in dollars", "Of the forecast close, dollars per share as traded.")
        .unit(Dollars)
        .decimals(2)
        .with_target(series("A", of_tickers("stock_assets_rmse_usd"), "{{ticker}}"))
    )


def _coverage() -> timeseries.Panel:
    panel = lines(
        "Coverage, all tickers",
        "Rolling share of targets inside the interval: the nearer to its name the better."
        " Alert: CoverageOff.",
    )
    for ref, interval in zip("ABC", INTERVALS, strict=True):
        shares = of_all_tickers("stock_assets_coverage", f'interval="{interval}"')
        panel = panel.with_target(series(ref, shares, f"{interval} % ({{{{dataset}}}})"))
    return panel.unit(PercentUnit).decimals(1).min(0).max(1).height(8).span(WIDTH)


def _by_ticker() -> table.Panel:
    columns = {
        "RMSE": of_tickers("stock_assets_rmse_return"),
        "RMSE of random walk": of_tickers("stock_assets_rmse_return_random_walk"),
        "Ratio": of_tickers("stock_assets_rmse_ratio"),
        "Dollars": of_tickers("stock_assets_rmse_usd"),
        "Covered by 95 %": of_tickers("stock_assets_coverage", 'interval="95"'),
        "Issued": of_tickers("stock_assets_issued_share"),
        "Version": of_tickers("stock_assets_champion_version"),
    }
    panel = (
        table.Panel()
        .title("By ticker")
        .description(
            "The newest values: rolling RMSE, coverage, how much of it was issued and is not"
            " hindsight, and the version that forecast."
        )
    )
    for ref, expression in zip("ABCDEFG", columns.values(), strict=True):
        panel = panel.with_target(rows(ref, f"max by (dataset, ticker) ({expression})"))
    renamed = {"dataset": "Dataset", "ticker": "Ticker"} | {
        f"Value #{ref}": title for ref, title in zip("ABCDEFG", columns, strict=True)
    }
    return (
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": {"Time": True}, "renameByName": renamed},
            )
        )
        .decimals(4)
        .override_by_name("Version", [DynamicConfigValue("decimals", 0)])
        .override_by_name("Issued", [DynamicConfigValue("unit", PercentUnit)])
        .override_by_name(
            "Covered by 95 %",
            [DynamicConfigValue("unit", PercentUnit), DynamicConfigValue("decimals", 1)],
        )
        .override_by_name(
            "Dollars", [DynamicConfigValue("unit", Dollars), DynamicConfigValue("decimals", 2)]
        )
        .override_by_name("Ratio", [DynamicConfigValue("decimals", 3)])
        .sort_by([TableSortByFieldState().display_name("Ratio").desc(True)])
        .height(9)
        .span(WIDTH)
    )
