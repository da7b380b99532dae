"""What counts as a problem: tables of sessions, literal answers."""

from typing import Any

import pytest

from stock_assets.monitoring.episodes import EpisodeState, Event, Rules, judge
from stock_assets.monitoring.thresholds import POOLED, Measure, Thresholds, in_breach

NAN = float("nan")
# Above 2 is a breach, at most 1.8 is calm; two calm sessions end it, four without a value void it.
LIMIT_2 = Thresholds({Measure.RETURN: 2.0}, hysteresis=0.1)
RULES = Rules(recovery_sessions=2, forget_after=4)


def returns(**values: float | None) -> dict[str, dict[Measure, float | None]]:
    return {ticker: {Measure.RETURN: value} for ticker, value in values.items()}


def story(
    sessions: list[Any], thresholds: Thresholds = LIMIT_2, days: list[int] | None = None
) -> tuple[EpisodeState, str]:
    """The events of one value (or mapping of tickers) a session: B, R or a dot for none."""
    state, told = EpisodeState(), ""
    for day, value in zip(days or range(1, len(sessions) + 1), sessions, strict=True):
        readings = returns(**value) if isinstance(value, dict) else returns(A=value)
        state, event = judge(state, f"2013-01-{day:02}", readings, thresholds, RULES)
        told += {None: ".", Event.BREACH: "B", Event.RECOVERY: "R"}[event]
    return state, told


@pytest.mark.parametrize(
    ("what", "errors", "events"),
    [
        ("below", [1, 1], ".."),
        ("first start in breach", [3], "B"),
        ("one breach, one alert", [1, 3, 3, 3], ".B.."),
        ("at the threshold is not above it", [2, 2], ".."),
        ("recovery takes two calm sessions", [3, 1, 1], "B.R"),
        ("one calm session is not enough", [3, 1, 3, 1, 3], "B...."),
        ("flapping around the threshold is one episode", [2.1, 1.9, 2.1, 1.9, 2.1, 1.9], "B....."),
        ("between calm and breach the count starts anew", [3, 1, 1.9, 1, 1], "B...R"),
        ("exactly at the calm limit is calm", [3, 1.8, 1.8], "B.R"),
        ("a second breach after a recovery is news", [3, 1, 1, 3], "B.RB"),
        ("nothing scored is neither", [None, NAN, 1], "..."),
        ("nothing scored does not interrupt the calm", [3, 1, NAN, 1], "B..R"),
        ("nothing scored is no recovery", [3, None, NAN, 3], "B..."),
        ("a ticker that is gone for a whole window ends", [3, None, None, None, None], "B...R"),
        ("a gap shorter than the window does not", [3, None, None, None, 3, 1, 1], "B.....R"),
        ("an infinite error is a breach", [float("inf"), 1, 1], "B.R"),
    ],
)
def test_an_episode_alerts_at_its_ends(what: str, errors: list[float | None], events: str):
    assert story(errors)[1] == events, what


@pytest.mark.parametrize(
    ("what", "days", "errors", "events"),
    [
        ("the same session again", [3, 3, 3], [1, 9, 9], "..."),
        ("an older one after a newer one", [3, 2, 1, 4], [1, 9, 9, 9], "...B"),
        ("an older calm one in an episode", [3, 1, 2, 4], [9, 1, 1, 1], "B..."),
        ("sessions with a gap between them", [1, 8, 20], [3, 1, 1], "B.R"),
    ],
)
def test_what_arrives_out_of_order_is_old_news(
    what: str, days: list[int], errors: list[float | None], events: str
):
    assert story(errors, days=days)[1] == events, what


@pytest.mark.parametrize(
    ("what", "sessions", "events", "affected"),
    [
        ("many at once are one problem", [{"A": 3, "B": 3}], "B", ("A return", "B return")),
        ("a later one joins", [{"A": 3, "B": 1}, {"A": 3, "B": 3}], "B.", ("A return", "B return")),
        (
            "the last one ends it",
            [{"A": 3, "B": 3}, {"A": 1, "B": 3}, {"A": 1, "B": 1}, {"A": 1, "B": 1}],
            "B..R",
            (),
        ),
        (
            "one that was calm may come back within the episode",
            [{"A": 3, "B": 3}, {"A": 1, "B": 3}, {"A": 1, "B": 3}, {"A": 3, "B": 1}],
            "B...",
            ("A return", "B return"),
        ),
    ],
)
def test_one_problem_of_many_tickers_is_told_once(
    what: str, sessions: list[Any], events: str, affected: tuple[str, ...]
):
    state, told = story(sessions)
    assert (told, state.affected) == (events, affected), what


@pytest.mark.parametrize(
    ("what", "new_limit", "then", "events"),
    [
        ("raised above the error: calm by the new one", 4.0, [3, 3], ".R"),
        ("lowered: what was calm is not", 1.0, [1.5, 1.5], ".."),
        ("nobody watches any more", None, [3], "R"),
    ],
)
def test_an_open_episode_follows_a_threshold_that_changes(
    what: str, new_limit: float | None, then: list[float], events: str
):
    state, _ = story([3])
    changed = Thresholds({Measure.RETURN: new_limit} if new_limit else {}, hysteresis=0.1)
    told = ""
    for day, value in enumerate(then, start=2):
        state, event = judge(state, f"2013-01-{day:02}", returns(A=value), changed, RULES)
        told += "R" if event is Event.RECOVERY else "B" if event else "."
    assert told == events, what


def test_an_episode_wants_one_retrain_and_its_end_wants_none():
    state, _ = story([3])
    assert (state.opened, state.retrain_due) == ("2013-01-01", True)
    assert story([3, 1, 1])[0] == EpisodeState(newest_session="2013-01-03")


def test_every_measure_has_its_limit_and_each_ticker_may_have_its_own():
    thresholds = Thresholds(
        {Measure.RETURN: 0.04, Measure.RATIO: 1.1},
        {Measure.RETURN: {"A": 0.06, POOLED: 0.03}, Measure.USD: {"B": 5.0}},
    )
    readings = {
        "A": {Measure.RETURN: 0.05, Measure.USD: 99.0, Measure.RATIO: 1.2},
        "B": {Measure.RETURN: 0.05, Measure.USD: 6.0, Measure.RATIO: 1.0},
        POOLED: {Measure.RETURN: 0.031, Measure.USD: None, Measure.RATIO: 1.2},
    }
    assert in_breach(readings, thresholds) == ["A ratio", "B return", "B usd", "POOLED return"]


def test_hysteresis_of_a_ratio_leaves_the_random_walk_itself_calm():
    thresholds = Thresholds({Measure.RATIO: 1.1, Measure.RETURN: 0.04}, hysteresis=0.1)
    assert thresholds.calm_limit("A", Measure.RATIO) == pytest.approx(1.09)
    assert thresholds.calm_limit("A", Measure.RETURN) == pytest.approx(0.036)
    assert thresholds.calm_limit("A", Measure.USD) is None
