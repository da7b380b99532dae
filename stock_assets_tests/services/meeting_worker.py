"""Celery's app of the settings, whose trainings meet."""

from stock_assets.automation.celery_worker import app, execute_plan
from stock_assets.forecasting import month_training
from stock_assets_tests.services.meetings import meeting

__all__ = ["app", "execute_plan"]

month_training.train_model = meeting(month_training.train_model)
