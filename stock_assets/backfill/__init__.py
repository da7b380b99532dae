"""Doing what the plan says: runs of Dagster inside a command, and what a killed one left."""
