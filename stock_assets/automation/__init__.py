"""Above the assets: jobs, schedules, the report's sensor, and what a console shows of a run."""
