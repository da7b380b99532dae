"""Anybody's forecasts judged as ours are: on the same outcomes, by the same measures. Pure.

A file is read (`forecast_files`), held to what a forecast can be (`submission`), and compared with
ours and the random walk on the forecasts that all of them have (`comparison`). `hub` writes ours in
the same format.
"""
