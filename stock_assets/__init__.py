"""Daily stock forecasts as Dagster assets."""

from typing import Any

__version__ = "0.1.0"


def __dir__() -> list[str]:
    return [*globals(), "StockForecasts"]


def __getattr__(name: str) -> Any:
    # Dagster looks for components here. Loading one loads Dagster, which most imports do not need.
    if name == "StockForecasts":
        from stock_assets.component import StockForecasts

        return StockForecasts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
