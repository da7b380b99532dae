"""`stock-assets alerts`: what fires now and what to do; and what could not be told."""

from typing import Any

from stock_assets.alerting.firing import FIRING, Found, what_fires
from stock_assets.backfill.project import open_instance
from stock_assets.settings import Settings


def alerts_now(settings: Settings) -> dict[str, Any]:
    """The JSON of `alerts`."""
    with open_instance(settings) as instance:
        return as_json(what_fires(settings, instance), settings.dataset_name)


def as_json(found: Found, dataset: str) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "firing": sum(one.state == FIRING for one in found.alerts),
        "alerts": [{**vars(one), "runbook": one.runbook} for one in found.alerts],
        "notes": list(found.notes),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    said = [] if found["alerts"] else [f"{found['dataset']}: nothing fires"]
    for one in found["alerts"]:
        since = f" since {one['since'][:19]}" if one["since"] else ""
        said += [
            f"{one['state'].upper()} {one['alert']}{since}",
            f"  {one['summary']}. {one['description']}",
            f"  What to do: {one['what_to_do']}",
            f"  What it means: {one['runbook']}",
            *(
                f"  {name.capitalize()}: {address}"
                for name, address in one["links"].items()
                if name != "runbook"
            ),
            "",
        ]
    return [*said, *(f"Note: {note}" for note in found["notes"])]
