"""Where bars come from: one file per source, all behind `PriceSource`."""

from stock_assets.market.sources.source import PriceSource

__all__ = ["PriceSource"]
