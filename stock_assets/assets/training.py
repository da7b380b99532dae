"""Group training, its models: a month's tuned model, and the version that it became."""

import base64
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.assets.attributes import JSON, by_month, preview
from stock_assets.partitions import Partitions
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.settings import Settings


def model_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    @dg.asset(
        **by_month(partitions, JSON),
        group_name="training",
        kinds={"scikitlearn", "optuna", "mlflow"},
    )
    def tuned_model(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        train_set: dict[str, pl.DataFrame],
        test_set: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """An MLflow run: search on the train set, one look at the test set, the model of both.

        Training the same data with the same code and settings again finds the first one's run.
        """
        from stock_assets.assets.study import train_or_reuse

        with model_registry.tracking.linked_to(context):
            # In order: the first month of a block lends its parameters to those after it.
            value = {
                month: train_or_reuse(
                    context, settings, model_registry.tracking, month, train, test_set[month]
                )
                for month, train in sorted(train_set.items())
            }
            last = value[max(value)]
            pictures = model_registry.tracking.pictures(last["mlflow_run_id"])
        return dg.MaterializeResult(
            value=value, metadata={**_study_metadata(value), **_shown(pictures)}
        )

    @dg.asset(**by_month(partitions, JSON), group_name="training", kinds={"mlflow", "json", "s3"})
    def registered_version(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        tuned_model: dict[str, dict[str, Any]],
        test_set: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """A version in MLflow's registry, approved by the gate or rejected, with the reason.

        It is held against the random walk and the champion of its day, which a month in the middle
        of a run is too: months are registered in order.
        """
        from stock_assets.assets.gate import decide_month

        value = {}
        for month, study in sorted(tuned_model.items()):
            decision = decide_month(model_registry, study, test_set[month], settings.gate_margin)
            version = model_registry.register(study, decision)
            context.log.info(f"{month}: version {version} {decision.reason}")
            value[month] = {
                "name": model_registry.name,
                "version": version,
                "approved": decision.approved,
                "reason": decision.reason,
                "superior_to": [c.reference for c in decision.comparisons if c.superior],
                **{
                    name: study[name]
                    for name in ("month", "trained_through", "family", "mlflow_run_id")
                },
            }
        last = value[max(value)]
        return dg.MaterializeResult(
            value=value,
            metadata={
                "version": last["version"],
                "approved": last["approved"],
                "reason": last["reason"],
                "versions": preview(
                    pl.DataFrame(list(value.values())).select(
                        "month", "version", "family", "approved", "reason", "trained_through"
                    )
                ),
            },
        )

    return [tuned_model, registered_version]


def _shown(pictures: dict[str, bytes]) -> dict[str, dg.MarkdownMetadataValue]:
    """Pictures inside the metadata itself: the page shows them without another server."""
    return {
        name.removesuffix(".png"): dg.MetadataValue.md(
            f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})"
        )
        for name, png in pictures.items()
    }


def _study_metadata(value: dict[str, dict[str, Any]]) -> dict[str, Any]:
    last = value[max(value)]
    columns = (
        "month",
        "family",
        "test_rmse_return",
        "test_rmse_return_random_walk",
        "test_skill",
        "slope",
        "test_crps",
        "test_coverage_95",
    )
    return {
        "mlflow_run_id": last["mlflow_run_id"],
        "test_rmse_return": last["test_rmse_return"],
        "test_rmse_return_random_walk": last["test_rmse_return_random_walk"],
        "test_skill": last["test_skill"],
        "studies": preview(
            pl.DataFrame([{name: study[name] for name in columns} for study in value.values()])
        ),
    }
