"""The dashboard "Operations": whether Dagster runs, and whether alerts reach people."""

from grafana_foundation_sdk.models.units import DateTimeFromNow, Seconds
from panels import (
    WIDTH,
    Panel,
    age,
    board,
    instant,
    known,
    lines,
    number,
    series,
    steps,
    with_panels,
)


def operations() -> object:
    built = board(
        "Operations",
        "stock-assets-operations",
        "What is due; Dagster's runs, queue, daemons, schedules and sensors; alerts under way.",
        "now-7d",
    )
    return with_panels(built, _panels())


def _panels() -> list[Panel]:
    due = known("stock_assets_partitions")
    runs = known("stock_assets_dagster_runs")
    beats = known("stock_assets_dagster_daemon_heartbeat_timestamp_seconds")
    ticks = known("stock_assets_dagster_tick_timestamp_seconds")
    success = known("stock_assets_dagster_job_last_success_timestamp_seconds")
    failure = known("stock_assets_dagster_job_last_failure_timestamp_seconds")
    some_are_red = steps((None, "green"), (1, "red"))
    return [
        number("Exporter", "Whether Prometheus reaches `stock-assets exporter`. 1: yes.")
        .thresholds(steps((None, "red"), (1, "green")))
        .with_target(instant("A", 'min(up{job="dagster"})')),
        number("Pushgateway", "The same for the Pushgateway.")
        .thresholds(steps((None, "red"), (1, "green")))
        .with_target(instant("A", 'min(up{job="pushgateway"})')),
        number("RMSE in breach", "1 while the sensor's episode is open.")
        .thresholds(some_are_red)
        .with_target(instant("A", f"max({known('stock_assets_alert_episode_open')})")),
        number("Messages waiting", "That did not reach every channel. Alert: AlertsNotDelivered.")
        .thresholds(some_are_red)
        .with_target(instant("A", f"sum({known('stock_assets_alerts_waiting')})")),
        age("Oldest sign of life", "Of a daemon. Alert: DagsterDaemonSilent.", beats, limit=300),
        number("Ticks that fail", "Schedules and sensors. Alert: DagsterTickFailed.")
        .thresholds(some_are_red)
        .with_target(instant("A", f"sum({known('stock_assets_dagster_tick_failed')})")),
        number("Turned on", "Schedules and sensors.").with_target(
            instant("A", f"max({known('stock_assets_dagster_instigators_on')})")
        ),
        number("Failed runs", "That the instance still knows, ever.").with_target(
            instant("A", f"max({known('stock_assets_dagster_failed_runs')})")
        ),
        lines("What is due", "Keys of each asset. `stock-assets status` has the reasons.")
        .with_target(series("A", f"{due} > 0", "{{dataset}} {{asset}} {{state}}"))
        .min(0),
        lines("Oldest session of which something is due", "Alert: SessionsDue. 0: nothing is due.")
        .unit(Seconds)
        .with_target(series("A", known("stock_assets_oldest_due_seconds"), "{{dataset}}")),
        lines("Runs", "Queued and under way. Alert: DagsterQueueStuck.")
        .with_target(series("A", runs, "{{status}}"))
        .min(0),
        lines("Waiting in the queue", "The first run of the queue, in seconds; empty: none waits.")
        .unit(Seconds)
        .with_target(
            series(
                "A",
                f"time() - {known('stock_assets_dagster_oldest_queued_timestamp_seconds')}",
                "first",
            )
        ),
        lines("Since the last tick", "Of each schedule and sensor that is on.")
        .unit(Seconds)
        .with_target(series("A", f"time() - {ticks}", "{{kind}} {{name}}")),
        lines("Failed attempts", "Of the message that waits longest.").with_target(
            series("A", known("stock_assets_alert_attempts"), "{{dataset}}")
        ),
        lines(
            "Last success and failure of each job",
            "A newer failure: Alert: DagsterRunFailed.",
        )
        .unit(DateTimeFromNow)
        .with_target(series("A", f"{success} * 1000", "{{job_name}} succeeded"))
        .with_target(series("B", f"{failure} * 1000", "{{job_name}} failed"))
        .span(WIDTH),
    ]
