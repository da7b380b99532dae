"""Group training, its models: a month's tuned model, and the version that it became."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.assets.attributes import JSON, by_month, preview, show_each, show_newest
from stock_assets.assets.earlier_runs import wait_for_earlier_runs, wait_for_lenders
from stock_assets.assets.training_checks import (
    SKILL_IS_KNOWN,
    VERSION_SERVES,
    check_serving,
    check_skill,
)
from stock_assets.deployment import training_months
from stock_assets.forecasting.study import MonthStudy, Study, month_study
from stock_assets.market.months import month_key, month_of, months_before
from stock_assets.partitions import Partitions
from stock_assets.resources.logged_studies import LoggedStudies
from stock_assets.resources.mlflow_page import run_address, version_address
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.resources.one_by_one import OneByOne, StoredPartitions
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.stamper import Stamper
from stock_assets.resources.stored_studies import stored_study
from stock_assets.resources.writer_lease import training_once
from stock_assets.settings import Settings


def model_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    lender = training_months(settings, partitions).lender

    @dg.asset(
        **by_month(partitions, JSON),
        group_name="training",
        kinds={"scikitlearn", "optuna", "mlflow"},
        check_specs=[SKILL_IS_KNOWN],
    )
    def tuned_model(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        stamper: dg.ResourceParam[Stamper],
        train_set: StoredPartitions,
        test_set: StoredPartitions,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """An MLflow run: search on the train set, one look at the test set, the model of both.

        Parameters are those of its lender, the first month of its block that has enough history.
        Training the same data with the same code and settings again finds the first one's run. A
        month with too little history has no model, and its value says why. Pictures are drawn of
        the newest month of a run: materialise another alone to see its.

        Months are trained without the right to write: other runs train and store meanwhile. What
        they replace of what a month is made of makes that month due again.
        """
        from stock_assets.assets.studies import pictures_of, studies

        tracking, store = model_registry.tracking, model_registry.store
        logged = LoggedStudies(tracking)
        wait_for_lenders(context, stamper, lender, train_set)
        # Lenders too are looked up before they are read.
        stamper.see(Asset.TUNED_MODEL, stored_partitions(store, Asset.TUNED_MODEL))

        def stored(month: str) -> MonthStudy:
            return stored_study(store, month, settings_of_studies(settings))

        def once(month: str) -> AbstractContextManager[None]:
            return training_once(store, month, context.log.info)

        made: list[MonthStudy] = []

        def values() -> Iterator[tuple[str, dict[str, Any]]]:
            with tracking.linked_to(context):
                for study in studies(
                    context, settings, lender, logged, stored, train_set, test_set, once
                ):
                    made.append(study)
                    yield study.month, study.as_values()
                show_each(context, {study.month: _shown_of(settings, study) for study in made})
                show_newest(context, **_summary(made))
                trained = [study for study in made if isinstance(study, Study)]
                if trained:
                    newest, month = trained[-1], trained[-1].month
                    pictures = pictures_of(logged, newest, train_set[month], test_set[month])
                    show_each(context, {month: _shown(pictures)})

        yield dg.MaterializeResult(value=OneByOne(values(), while_others_write=True))
        yield check_skill(made)

    @dg.asset(
        **by_month(partitions, JSON),
        group_name="training",
        kinds={"mlflow", "json", "s3"},
        check_specs=[VERSION_SERVES],
    )
    def registered_version(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        stamper: dg.ResourceParam[Stamper],
        tuned_model: StoredPartitions,
        test_set: StoredPartitions,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """A version in MLflow's registry; its point and intervals approved or rejected, and why.

        They are held against the random walk and the normal law, and the champions of their day,
        which a month in the middle of a run is too: months are registered in order. A month without
        a model has no version.
        """
        from stock_assets.assets.registration import register_month

        registered: list[dict[str, Any]] = []
        before = month_key(months_before(month_of(min(tuned_model)), 1))
        wait_for_earlier_runs(context, stamper, last=before)

        def values() -> Iterator[tuple[str, dict[str, Any]]]:
            model_registry.refuse_lost(through=before)  # their champions are judges
            for month in sorted(tuned_model):
                study = month_study(tuned_model[month])
                value = register_month(model_registry, study, test_set, settings.gate_margin)
                context.log.info(
                    f"{month}: version {value['version']} {value['reason']}; its intervals"
                    f" {value['intervals_reason']}"
                )
                registered.append(value)
                yield month, value
            name = model_registry.name
            show_each(context, {v["month"]: _shown_version(settings, name, v) for v in registered})
            columns = ("month", "version", "family", *_VERDICTS, "trained_through")
            show_newest(context, versions=_table(registered, columns))

        yield dg.MaterializeResult(value=OneByOne(values()))
        yield check_serving(registered)

    return [tuned_model, registered_version]


def _shown(pictures: dict[str, bytes]) -> dict[str, dg.MarkdownMetadataValue]:
    """Pictures inside the metadata itself: the page shows them without another server."""
    return {
        name.removesuffix(".png"): dg.MetadataValue.md(
            f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})"
        )
        for name, png in pictures.items()
    }


_VERDICTS = ("approved", "reason", "intervals_approved", "intervals_reason")
_SHOWN = (
    "family",
    "test_rmse_return",
    "test_rmse_return_random_walk",
    "test_skill",
    "slope",
    "test_crps",
    "test_coverage_95",
)


def _shown_of(settings: Settings, study: MonthStudy) -> dict[str, Any]:
    """A month's own metadata."""
    values = study.as_values()
    if not isinstance(study, Study):
        return {name: values[name] for name in ("status", "reason")}
    names = ("status", *_SHOWN, "mlflow_run_id")
    address = run_address(settings, study.mlflow_run_id)
    return {name: values[name] for name in names} | {"mlflow_run": dg.MetadataValue.url(address)}


def _shown_version(settings: Settings, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a month's version; it has no address where the month has no model."""
    shown = {key: value[key] for key in ("version", "family", *_VERDICTS)}
    if value["version"] is None:
        return shown
    address = version_address(settings, name, value["version"])
    return shown | {"mlflow_version": dg.MetadataValue.url(address)}


def _summary(studies: list[MonthStudy]) -> dict[str, Any]:
    """Metadata of a run over several months."""
    trained = [study.as_values() for study in studies if isinstance(study, Study)]
    skipped = [study.as_values() for study in studies if not isinstance(study, Study)]
    return {
        "trained_months": len(trained),
        "skipped_months": len(skipped),
        **({"skipped": _table(skipped, ("month", "status", "reason"))} if skipped else {}),
        **({"studies": _table(trained, ("month", *_SHOWN))} if trained else {}),
    }


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> dg.MarkdownMetadataValue:
    # Months without a version come first: a type guessed from the first rows would be wrong.
    chosen = [{name: row[name] for name in columns} for row in rows]
    return preview(pl.DataFrame(chosen, infer_schema_length=None))
