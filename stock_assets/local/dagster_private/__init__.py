"""Parts of Dagster that it keeps to itself, each with the public way that is missing.

Nowhere else is `dagster._…` imported (ruff's TID251): a new release of Dagster is looked through by
these files. By what they cost to load: `runs` is loaded with `dagster` itself, the others are not.
"""
