"""The parts that assets lean on: object store, prices, MLflow, metrics."""
