"""Importing and building the definitions beside what any Dagster process with S3 imports anyway."""

from pathlib import Path

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured


def project(_folder: Path, _size: Size) -> Measurement:
    with measured() as result:
        from stock_assets.definitions import defs

        defs().get_repository_def()
    return result


def dagster_and_s3(_folder: Path, _size: Size) -> Measurement:
    with measured() as result:
        import dagster  # noqa: F401
        import dagster_aws.s3  # noqa: F401
    return result


def dagster_alone(_folder: Path, _size: Size) -> Measurement:
    with measured() as result:
        import dagster  # noqa: F401
    return result


CASE = Case(
    title="Import of the definitions, built and with their graph resolved",
    sizes={"full": {}, "tiny": {}},
    contenders={
        "project": project,
        "dagster, dagster_aws.s3": dagster_and_s3,
        "dagster": dagster_alone,
    },
    ratios=[
        Ratio(
            "CPU, definitions / (import dagster, dagster_aws.s3)",
            "project",
            ["dagster, dagster_aws.s3"],
            key="cpu_seconds",
            at_most=1.25,
        ),
        Ratio("CPU, definitions / import dagster", "project", ["dagster"], key="cpu_seconds"),
    ],
    repeats=5,
)
