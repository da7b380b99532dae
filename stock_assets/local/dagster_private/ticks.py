"""Of schedules and sensors.

The public way that is missing: `instance.all_instigator_state` answers with types that are not
exported.
"""

from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData, TickStatus

__all__ = [
    "InstigatorState",
    "SensorInstigatorData",
    "TickStatus",
]
