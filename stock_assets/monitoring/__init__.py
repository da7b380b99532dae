"""When errors, or their absence, are news, and in which words. Pure: state in, state and event out.

Nothing here knows Dagster, a channel or a clock; `alerting` looks, remembers and delivers.
"""
