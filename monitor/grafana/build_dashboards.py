"""Dashboards as code: builds the JSON files that Grafana is provisioned with.

`python monitor/grafana/build_dashboards.py` writes dashboards/*.json; a test holds the committed
files against what this builds. What Grafana needs besides, data source and folder, is in
provisioning/.

The SDK calls the dashboard's first schema deprecated; it is the one that Grafana reads from files
in every version.
"""

from pathlib import Path

from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    LineStyle,
    ReduceDataOptions,
    TableSortByFieldState,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    FieldColor,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.units import Dollars, Seconds

from stock_assets.resources.metrics import JOB, METRICS

FOLDER = Path(__file__).parent / "dashboards"
# As in provisioning/datasources/prometheus.yaml.
DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="stock-assets-prometheus")
# As in the rules: RmseWorseThanRandomWalk.
WORST_RATIO = 1.1
DAY = 86400
WIDTH = 24


def build_dashboards() -> dict[str, str]:
    """File name -> JSON, keys sorted: the same on every machine."""
    return {"forecasts.json": JSONEncoder(sort_keys=True, indent=2).encode(_forecasts()) + "\n"}


def _forecasts() -> object:
    board = (
        Dashboard("Forecasts")
        .uid("stock-assets-forecasts")
        .description("Errors of the daily forecasts, the random walk beside them.")
        .tags(["stock-assets"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-90d", "now")
        .refresh("5m")
        .with_variable(
            QueryVariable("ticker")
            .label("Ticker")
            .datasource(DATA_SOURCE)
            .query(f'label_values({_name("stock_assets_rmse_return")}{{job="{JOB}"}}, ticker)')
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(VariableOption(selected=True, text="All", value="$__all"))
        )
    )
    panels: list[stat.Panel | timeseries.Panel | table.Panel] = [
        _age_of_data(),
        _age_of_last_push(),
        _tickers_above_threshold(),
        _rolling_rmse(),
        _ratio(),
        _rmse_usd(),
        _by_ticker(),
    ]
    for number, panel in enumerate(panels, start=1):
        board.with_panel(panel.id(number).datasource(DATA_SOURCE))
    return board.build()


def _age_of_data() -> stat.Panel:
    # Friday's session stays the newest until Wednesday morning where Monday is a holiday: 5.5 days.
    return _age(
        "Age of data",
        "Since the session that was scored last; of the ticker where that is longest ago.",
        "stock_assets_session_timestamp_seconds",
        limit=5.75 * DAY,
    )


def _age_of_last_push() -> stat.Panel:
    return _age(
        "Age of last push",
        "Since metrics arrived; of the ticker where that is longest ago. Alert: MetricsStale.",
        "stock_assets_last_success_timestamp_seconds",
        limit=4.5 * DAY,
    )


def _tickers_above_threshold() -> stat.Panel:
    above = (
        f"sum({_metric('stock_assets_rmse_return')}"
        f" > bool {_metric('stock_assets_rmse_threshold')})"
    )
    return (
        _stat("Tickers above threshold", "Whose rolling RMSE is in breach; no data is not zero.")
        .decimals(0)
        .thresholds(_steps((None, "green"), (1, "red")))
        .with_target(_instant("A", above))
    )


def _rolling_rmse() -> timeseries.Panel:
    return (
        _lines(
            "Rolling RMSE",
            "Log return. Solid: forecast; dashed: random walk; red: threshold."
            " Alert: RmseAboveThreshold.",
        )
        .decimals(4)
        .with_target(_range("A", _metric("stock_assets_rmse_return"), "{{ticker}}"))
        .with_target(
            _range("B", _metric("stock_assets_rmse_return_random_walk"), "{{ticker}} random walk")
        )
        # Each ticker carries it; the deployment has one, so the largest is drawn once.
        .with_target(_range("C", f"max({_metric('stock_assets_rmse_threshold')})", "threshold"))
        .with_override(
            MatcherConfig(id_val="byFrameRefID", options="B"),
            [DynamicConfigValue("custom.lineStyle", LineStyle().fill("dash").dash([6, 6]).build())],
        )
        .override_by_name(
            "threshold",
            [
                DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
                DynamicConfigValue("custom.lineWidth", 2),
            ],
        )
        .height(9)
        .span(WIDTH)
    )


def _ratio() -> timeseries.Panel:
    return (
        _lines(
            "RMSE as a multiple of the random walk's",
            "Below 1 the forecast is better than the random walk."
            f" Alert: RmseWorseThanRandomWalk, above {WORST_RATIO}.",
        )
        .decimals(3)
        .thresholds(_steps((None, "transparent"), (1, "orange"), (WORST_RATIO, "red")))
        .thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        .with_target(_range("A", _ratio_to_random_walk(), "{{ticker}}"))
        .height(8)
        .span(WIDTH // 2)
    )


def _rmse_usd() -> timeseries.Panel:
    return (
        _lines("Rolling RMSE in dollars", "Of the forecast close, dollars per share as traded.")
        .unit(Dollars)
        .decimals(2)
        .with_target(_range("A", _metric("stock_assets_rmse_usd"), "{{ticker}}"))
        .height(8)
        .span(WIDTH // 2)
    )


def _by_ticker() -> table.Panel:
    own, naive = "stock_assets_rmse_return", "stock_assets_rmse_return_random_walk"
    return (
        table.Panel()
        .title("By ticker")
        .description(
            "The newest values: rolling RMSE in log return, the random walk's, their ratio."
        )
        .with_target(_rows("A", f"max by (ticker) ({_metric(own)})"))
        .with_target(_rows("B", f"max by (ticker) ({_metric(naive)})"))
        .with_target(_rows("C", f"max by (ticker) ({_ratio_to_random_walk()})"))
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "renameByName": {
                        "ticker": "Ticker",
                        "Value #A": "RMSE",
                        "Value #B": "RMSE of random walk",
                        "Value #C": "Ratio",
                    },
                },
            )
        )
        .decimals(4)
        .override_by_name(
            "Ratio",
            [
                DynamicConfigValue("decimals", 3),
                DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
                DynamicConfigValue(
                    "thresholds",
                    _steps((None, "green"), (1, "orange"), (WORST_RATIO, "red")).build(),
                ),
            ],
        )
        .sort_by([TableSortByFieldState().display_name("Ratio").desc(True)])
        .height(8)
        .span(WIDTH)
    )


# --- queries


def _name(metric: str) -> str:
    """The metric's name, which must be one that is pushed."""
    if metric not in METRICS:
        raise KeyError(f"{metric} is not in METRICS of stock_assets.resources.metrics")
    return metric


def _metric(metric: str) -> str:
    return f'{_name(metric)}{{job="{JOB}", ticker=~"$ticker"}}'


def _ratio_to_random_walk() -> str:
    return (
        f"{_metric('stock_assets_rmse_return')} / {_metric('stock_assets_rmse_return_random_walk')}"
    )


def _query(ref: str, expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).datasource(DATA_SOURCE).expr(expression)


def _range(ref: str, expression: str, legend: str) -> prometheus.Dataquery:
    return _query(ref, expression).range().legend_format(legend)


def _instant(ref: str, expression: str) -> prometheus.Dataquery:
    return _query(ref, expression).instant()


def _rows(ref: str, expression: str) -> prometheus.Dataquery:
    return _instant(ref, expression).format(PromQueryFormat.TABLE)


# --- looks


def _steps(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def _stat(title: str, description: str) -> stat.Panel:
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
        .span(WIDTH // 3)
    )


def _age(title: str, description: str, metric: str, limit: float) -> stat.Panel:
    return (
        _stat(title, description)
        .unit(Seconds)
        .decimals(1)
        .thresholds(_steps((None, "green"), (limit, "red")))
        .with_target(_instant("A", f"max(time() - {_metric(metric)})"))
    )


def _lines(title: str, description: str) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in build_dashboards().items():
        (FOLDER / name).write_text(text)
