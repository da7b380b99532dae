from dataclasses import replace
from datetime import date

from stock_assets.forecasting.promotion import (
    INTERVALS,
    POINT,
    ModelVersion,
    Promotion,
    Succession,
    before_the_last,
    challenger_of,
    champion_of,
    version_for,
)


def version(
    number: int, through: date, *, approved: bool = True, intervals: bool = False
) -> ModelVersion:
    return ModelVersion(
        through, number, approved, "random_forest", (), intervals_approved=intervals
    )


def test_a_session_is_forecast_by_the_newest_version_trained_before_it():
    versions = [
        version(1, date(2012, 8, 31)),
        version(4, date(2012, 9, 28)),
        version(2, date(2012, 10, 31)),
    ]
    assert version_for(versions, date(2012, 10, 1)) == versions[1]
    assert version_for(versions, date(2012, 10, 31)) == versions[1]
    assert version_for(versions, date(2012, 11, 1)) == versions[2]


def test_a_version_never_forecasts_from_a_session_that_it_has_seen():
    # A retrain on the evening of 15 October was not there when the 15th was forecast from.
    versions = [version(1, date(2012, 9, 28)), version(2, date(2012, 10, 15))]
    assert version_for(versions, date(2012, 10, 15)) == versions[0]
    assert version_for(versions, date(2012, 10, 16)) == versions[1]


def test_a_rejected_version_is_passed_over():
    versions = [version(1, date(2012, 8, 31)), version(2, date(2012, 9, 28), approved=False)]
    assert version_for(versions, date(2012, 10, 1)) == versions[0]
    assert version_for(versions[1:], date(2012, 10, 1)) is None


def test_of_two_trained_through_the_same_session_the_later_registered_serves():
    versions = [version(7, date(2012, 9, 28)), version(9, date(2012, 9, 28))]
    assert version_for(versions, date(2012, 10, 1)) == versions[1]


def test_a_month_serves_before_a_retrain_of_the_month_before_that_knows_as_much():
    october = replace(version(7, date(2012, 9, 28)), month="2012-10")
    # Trained again through the last session of its month, and registered later.
    september = replace(version(9, date(2012, 9, 28)), month="2012-09")
    for versions in ([october, september], [september, october]):
        assert version_for(versions, date(2012, 10, 1)) == october
        assert Succession(versions, POINT).on(date(2012, 10, 1)) == october


def test_a_promoted_version_serves_after_its_promotion_until_a_newer_one_is_approved():
    old, new = version(1, date(2012, 8, 31)), version(2, date(2012, 9, 28))
    promoted = replace(old, promotions=(Promotion(date(2012, 10, 10), "T10"),))
    assert version_for([promoted, new], date(2012, 10, 10)) == new
    assert version_for([promoted, new], date(2012, 10, 11)) == promoted
    newer = version(3, date(2012, 10, 31))
    assert version_for([promoted, new, newer], date(2012, 11, 1)) == newer
    assert champion_of([promoted, new]) == promoted


def test_a_promotion_leaves_the_past_as_it_was():
    old, new = version(1, date(2012, 8, 31)), version(2, date(2012, 9, 28))
    twice = (Promotion(date(2012, 10, 10), "T10"), Promotion(date(2012, 10, 20), "T20"))
    again = [replace(old, promotions=twice), new]
    for session in (date(2012, 9, 4), date(2012, 9, 28), date(2012, 10, 1), date(2012, 10, 10)):
        before, after = version_for([old, new], session), version_for(again, session)
        assert before is not None
        assert after is not None
        assert before.version == after.version
    # Between the two promotions the first one holds.
    assert version_for(again, date(2012, 10, 15)) == again[0]


def test_a_rejected_version_serves_once_a_person_promoted_it():
    rejected = replace(
        version(2, date(2012, 9, 28), approved=False),
        promotions=(Promotion(date(2012, 10, 10), "T10"),),
    )
    assert version_for([rejected], date(2012, 10, 10)) is None
    assert version_for([rejected], date(2012, 10, 11)) == rejected


def test_of_two_promotions_on_one_day_the_later_holds():
    day = date(2012, 10, 10)
    first = replace(version(2, date(2012, 9, 28)), promotions=(Promotion(day, "T10"),))
    second = replace(version(1, date(2012, 8, 31)), promotions=(Promotion(day, "T11"),))
    assert champion_of([first, second]) == second


def test_the_challenger_is_the_newest_that_is_not_champion():
    champion = version(1, date(2012, 8, 31))
    rejected = version(2, date(2012, 9, 28), approved=False)
    assert challenger_of([champion, rejected]) == rejected
    assert challenger_of([champion]) is None


def test_who_knows_less_than_the_champion_challenges_nobody():
    older = version(1, date(2012, 8, 31))
    champion = version(2, date(2012, 9, 28))
    assert challenger_of([older, champion]) is None
    # A person may let an older one serve: then the newer one is next.
    promoted = replace(older, promotions=(Promotion(date(2012, 10, 10), "T10"),))
    assert challenger_of([promoted, champion]) == champion


def test_point_and_intervals_are_served_each_by_the_newest_approved_for_it():
    versions = [
        version(1, date(2012, 8, 31), intervals=True),
        version(2, date(2012, 9, 28), approved=False, intervals=True),
        version(3, date(2012, 10, 31), approved=True, intervals=False),
    ]

    def serving(session: date) -> tuple[int | None, int | None]:
        point, intervals = (version_for(versions, session, part) for part in (POINT, INTERVALS))
        return point and point.version, intervals and intervals.version

    assert serving(date(2012, 8, 31)) == (None, None)
    assert serving(date(2012, 9, 4)) == (1, 1)
    assert serving(date(2012, 9, 28)) == (1, 1)  # strictly before, for either part
    assert serving(date(2012, 10, 1)) == (1, 2)
    assert serving(date(2012, 11, 1)) == (3, 2)


def test_a_promotion_is_for_both_parts_unless_it_says_for_which():
    day = date(2012, 10, 10)
    old, new = version(1, date(2012, 8, 31)), version(2, date(2012, 9, 28), intervals=True)
    both = replace(old, promotions=(Promotion(day, "T10"),))
    assert champion_of([both, new], POINT) == champion_of([both, new], INTERVALS) == both
    point = replace(old, promotions=(Promotion(day, "T10", (POINT,)),))
    assert champion_of([point, new], POINT) == point
    assert champion_of([point, new], INTERVALS) == new


def test_going_back_takes_the_parts_from_the_version_that_came_last_alone():
    first = version(1, date(2012, 8, 31), intervals=True)
    second = version(2, date(2012, 9, 28))
    third = version(3, date(2012, 10, 31), approved=False, intervals=True)
    assert before_the_last([first, second, third]) == {INTERVALS: first}
    assert before_the_last([first, second]) == {POINT: first}
    assert before_the_last([first]) == before_the_last([]) == {}
    # Intervals that the gate rejected do not come to serve because the point goes back.
    whole = version(4, date(2012, 11, 30), intervals=True)
    assert before_the_last([first, second, whole]) == {POINT: second, INTERVALS: first}


def test_a_succession_says_what_version_for_says_of_each_session():
    versions = [
        version(1, date(2013, 1, 31)),
        version(2, date(2013, 2, 28), approved=False, intervals=True),
        replace(
            version(3, date(2012, 12, 31), approved=False),
            promotions=(Promotion(date(2013, 2, 5), "2013-02-05T10:00"),),
        ),
    ]
    serving = Succession(versions, POINT)
    days = [date(2013, 1, 31), date(2013, 2, 1), date(2013, 2, 5), date(2013, 2, 6)]
    assert [found.version if (found := serving.on(day)) else None for day in days] == [
        None,
        1,
        1,
        3,
    ]
    assert [version_for(versions, day) for day in days] == [serving.on(day) for day in days]
    assert Succession(versions, INTERVALS).on(date(2013, 3, 1)) == versions[1]
