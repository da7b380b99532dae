"""When to try again what failed: after twice as long each time, up to an hour, without end."""

_LONGEST_WAIT = 3600.0


def next_try(now: float, first_wait: float, attempts: int) -> float:
    """When to try again; in seconds, as `now` is.

    Args:
        now: Of the failure.
        first_wait: After the first one.
        attempts: That had failed before.
    """
    return now + min(first_wait * 2 ** min(attempts, 20), _LONGEST_WAIT)
