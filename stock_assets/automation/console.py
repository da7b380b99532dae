"""What a run prints: the messages of assets, one line each; events stay in Dagster's log."""

import logging
import sys
from typing import Any

import dagster as dg


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        step = meta.get("step_key")
        text = meta.get("orig_message") or record.getMessage()
        level = "" if record.levelno < logging.WARNING else f"{record.levelname} "
        return f"    {level}{f'{step}: ' if step else ''}{text}"


@dg.logger(
    config_schema={"log_level": dg.Field(str, default_value="INFO", is_required=False)},
    description="One line per message of an asset, on standard error.",
)
def console_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("stock_assets.console", init_context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logger.addHandler(handler)
    return logger
