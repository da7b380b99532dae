"""Above the assets: jobs, schedules, sensors, and what a console shows of a run."""
