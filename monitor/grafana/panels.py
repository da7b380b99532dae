"""What the panels of all dashboards share: data source, selectors, queries, looks."""

import re
from collections.abc import Sequence

from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    FieldColor,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.units import Seconds

from stock_assets.alerting.due import DUE_METRICS
from stock_assets.alerting.health import HEALTH_METRICS
from stock_assets.resources.metrics import JOB, METRICS

# As in provisioning/datasources/prometheus.yaml.
DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="stock-assets-prometheus")
DAY = 86400
WIDTH = 24
TAG = "stock-assets"
EXPORTER = "http://127.0.0.1:9108"
PAGES = {
    "Report": f"{EXPORTER}/report",
    "What alerts mean": f"{EXPORTER}/runbook",
    "Dagster": "http://127.0.0.1:3000",
    "MLflow": "http://127.0.0.1:5000",
}
"""Where `stock-assets exporter` and `ui` listen; the exporter's own page links back."""
Panel = stat.Panel | timeseries.Panel | table.Panel


def board(title: str, uid: str, description: str, since: str) -> Dashboard:
    links = [
        DashboardLink(name).type(DashboardLinkType.LINK).url(url).target_blank(True)
        for name, url in PAGES.items()
    ]
    others = DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .links([others, *links])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("5m")
    )


def with_panels(built: Dashboard, panels: Sequence[Panel]) -> object:
    for number, panel in enumerate(panels, start=1):
        built.with_panel(panel.id(number).datasource(DATA_SOURCE))
    return built.build()


def variable(label: str, chosen_by: str) -> QueryVariable:
    """Any number of the label's values; all at first."""
    name = label.lower()
    metric = known("stock_assets_rmse_return")
    return (
        QueryVariable(name)
        .label(label)
        .datasource(DATA_SOURCE)
        .query(f"label_values({metric}{{{chosen_by}}}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


# --- queries


def known(name: str) -> str:
    """The metric's name, which must be one that somebody exposes."""
    if name not in {*METRICS, *HEALTH_METRICS, *DUE_METRICS}:
        raise KeyError(f"{name} is in none of METRICS, HEALTH_METRICS and DUE_METRICS")
    return name


def of_tickers(name: str, *more: str) -> str:
    """A pushed metric of the datasets and tickers that were picked."""
    labels = (f'job="{JOB}"', 'dataset=~"$dataset"', 'ticker=~"$ticker"', *more)
    return f"{known(name)}{{{', '.join(labels)}}}"


def of_all_tickers(name: str, *more: str) -> str:
    """A pushed metric of all tickers as one."""
    labels = (f'job="{JOB}"', 'dataset=~"$dataset"', 'ticker="POOLED"', *more)
    return f"{known(name)}{{{', '.join(labels)}}}"


def query(ref: str, expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).datasource(DATA_SOURCE).expr(expression)


def series(ref: str, expression: str, legend: str) -> prometheus.Dataquery:
    return query(ref, expression).range().legend_format(legend)


def instant(ref: str, expression: str) -> prometheus.Dataquery:
    return query(ref, expression).instant()


def rows(ref: str, expression: str) -> prometheus.Dataquery:
    return instant(ref, expression).format(PromQueryFormat.TABLE)


# --- looks


def linked(description: str) -> str:
    """With the alert that it names leading to its section of docs/alerts.md (Markdown)."""
    return re.sub(
        r"Alert: (\w+)",
        lambda named: f"[{named[0]}]({PAGES['What alerts mean']}#{named[1].lower()})",
        description,
    )


def steps(*levels: tuple[float | None, str]) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in levels])
    )


def number(title: str, description: str) -> stat.Panel:
    return (
        stat.Panel()
        .title(title)
        .description(linked(description))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
        .span(WIDTH // 4)
    )


def age(title: str, description: str, since: str, limit: float) -> stat.Panel:
    """The oldest of `since`, a selector of times."""
    return (
        number(title, description)
        .unit(Seconds)
        .decimals(1)
        .thresholds(steps((None, "green"), (limit, "red")))
        .with_target(instant("A", f"max(time() - {since})"))
    )


def lines(title: str, description: str) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(linked(description))
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .height(8)
        .span(WIDTH // 2)
    )
