"""Addresses of assets within Dagster's page."""

from stock_assets.asset_keys import asset_page


def test_an_asset_has_a_page_and_a_partition_a_view_of_it():
    assert asset_page(["features"]) == "/assets/features"
    assert asset_page(["my data", "features"]) == "/assets/my%20data/features"
    assert asset_page(["sample", "features"], "2013-03-01") == (
        "/assets/sample/features?view=partitions&partition=2013-03-01"
    )
