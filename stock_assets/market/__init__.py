"""What prices are and where they come from. Pure: no Dagster, no MLflow, no environment."""
