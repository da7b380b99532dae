"""The project's graph without its work: the same assets, keys, edges, checks and jobs, all empty.

What a run over it costs is Dagster's own share of the real run.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from stock_assets.asset_keys import asset_name
from stock_assets.assets import of_dataset
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB, all_jobs
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.partitions import partition_keys
from stock_assets.planning.lineage import MONTH_ASSETS, SESSION_ASSETS
from stock_assets.planning.plan import Wanted
from stock_assets_tests.benchmarks.case import Measurement, measured


def walked_hollow(project: Project, wanted: Wanted) -> Measurement:
    """Dagster's share of a walk forward: the runs of `stock-assets backtest`, of empty assets.

    Nothing is stored, so there is no plan to go by: every wanted partition is made once.
    """
    hollow = replace(project, definitions=hollow_definitions(project))
    sessions, months = project.partitions.sessions, project.partitions.months
    of_months = (MONTHLY_JOB, MONTH_ASSETS, months, project.settings.months_per_run)
    of_sessions = [
        (DAILY_JOB, (asset,), sessions, project.settings.sessions_per_run)
        for asset in SESSION_ASSETS
    ]
    with measured() as result:
        for job, assets, partitions, per_run in (of_months, *of_sessions):
            keys = list(wanted.of(assets[0]))
            run_partitions(hollow, job, assets, keys, partition_keys(partitions), per_run)
    return result


def hollow_definitions(project: Project) -> dg.Definitions:
    """Definitions to put in the place of the project's."""
    graph = project.definitions.resolve_asset_graph()
    checks: dict[dg.AssetKey, list[dg.AssetCheckSpec]] = {}
    for key in graph.asset_check_keys:
        spec = dg.AssetCheckSpec(key.name, asset=asset_name(key.asset_key))
        checks.setdefault(key.asset_key, []).append(spec)
    mappings = {
        (node.key, parent): node.partition_mappings.get(parent)
        for node in graph.asset_nodes
        for parent in node.parent_keys
    }

    def hollow(node: Any) -> dg.AssetsDefinition:
        specs = checks.get(node.key, [])

        @dg.asset(
            name=asset_name(node.key),
            partitions_def=node.partitions_def,
            backfill_policy=node.backfill_policy,
            deps=[
                dg.AssetDep(asset_name(parent), partition_mapping=mappings[node.key, parent])
                for parent in sorted(node.parent_keys)
            ],
            check_specs=specs,
            # The commands hand the real assets settings; these take and ignore them.
            config_schema=dg.Field(dict, is_required=False, default_value={}),
            metadata=_small(node.metadata),
        )
        def empty() -> dg.MaterializeResult:
            return dg.MaterializeResult(
                check_results=[
                    dg.AssetCheckResult(check_name=spec.name, passed=True) for spec in specs
                ]
            )

        return empty

    assets = of_dataset(project.settings.dataset_name, [hollow(node) for node in graph.asset_nodes])
    return dg.Definitions(
        assets,
        jobs=all_jobs(project.settings, project.partitions),
        executor=dg.in_process_executor,
        loggers=project.definitions.loggers,
    )


def _small(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if isinstance(value, (str, int, bool))}
