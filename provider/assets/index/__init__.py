"""Assets as chains tell them: followed from event to event, kept in the database."""

from provider.assets.index.asset_index import AssetIndex

__all__ = ["AssetIndex"]
