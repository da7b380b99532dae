"""What a dataset is configured to do, as Dagster's page shows it. Nothing of it is a secret."""

import dagster as dg
from pydantic import Field

from stock_assets.settings import Settings


class Configuration(dg.ConfigurableResource[None]):
    """Read by people alone: assets are handed the settings themselves."""

    dataset: str = Field(description="First part of its asset keys, objects and model name.")
    source: str = Field(description="Where prices come from.")
    tickers: list[str] = Field(description="As listed; none: those of a file, else the source's.")
    calendar: str = Field(description="Exchange whose sessions key the assets.")
    horizon: int = Field(description="Sessions from a forecast's own to its target.")
    model_family: str = Field(description="The point model.")
    train_months: int = Field(description="Calendar months of history that a model sees.")
    rmse_threshold: float = Field(description="Rolling RMSE of log returns that alerts.")
    schedules_on: bool = Field(description="Whether schedules and sensors start turned on.")
    store: str = Field(description="Where objects lie.")
    state_folder: str = Field(description="What else this machine keeps.")

    @classmethod
    def of(cls, settings: Settings) -> "Configuration":
        """What is shown of some settings."""
        shown = settings.model_dump(include=cls.model_fields.keys() & Settings.model_fields.keys())
        shown["tickers"] = list(settings.tickers)
        shown["dataset"] = settings.dataset_name
        shown["store"] = settings.store_uri or "the local SeaweedFS"
        return cls(**shown, state_folder=str(settings.state_folder))
