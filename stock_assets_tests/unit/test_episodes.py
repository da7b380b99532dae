import pytest

from stock_assets.automation.episodes import EpisodeState, Event, judge

NAN = float("nan")


@pytest.mark.parametrize(
    ("what", "errors", "events"),
    [
        ("below", [1, 1], [None, None]),
        ("one breach, one alert", [1, 3, 3, 3], [None, "breach", None, None]),
        ("recovery", [3, 1], ["breach", "recovery"]),
        ("equal is below", [2, 2], [None, None]),
        ("a second breach is news again", [3, 1, 3], ["breach", "recovery", "breach"]),
        ("nothing scored is no recovery", [3, None, NAN, 3], ["breach", None, None, None]),
    ],
)
def test_an_episode_alerts_at_its_ends(
    what: str, errors: list[float | None], events: list[str | None]
):
    state, found = EpisodeState(), []
    for day, error in enumerate(errors, start=1):
        state, event = judge(state, f"2013-01-{day:02}", error, threshold=2)
        found.append(event.value if event else None)
    assert found == events, what


def test_an_older_session_is_old_news():
    state, event = judge(EpisodeState(), "2013-01-03", 1.0, 2.0)
    assert event is None
    assert judge(state, "2013-01-03", 9.0, 2.0) == (state, None)
    assert judge(state, "2013-01-02", 9.0, 2.0) == (state, None)
    assert judge(state, "2013-01-04", 9.0, 2.0)[1] is Event.BREACH
