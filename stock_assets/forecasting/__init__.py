"""Features, splits, tuning, models, intervals, promotion, evaluation. Pure: frames in, frames out.

Nothing here knows Dagster, MLflow, S3 or the environment.
"""
