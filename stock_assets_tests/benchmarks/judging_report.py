"""The tables of docs/models.md that are measured, each written between its own markers.

A marker is `<!-- NAME:begin, ... -->` or `<!-- NAME:end -->` on a line of its own; what stands
around them is a person's.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Found = Mapping[str, Any]
_SAMPLE, _SIMULATED = "calibration on the sample", "calibration on simulated prices"
_FAMILIES = {
    f"slope of {family}": f"`{family}`" for family in ("ridge", "random_forest", "extra_trees")
}


def judged_pages(page: str, best: Mapping[str, Found]) -> str:
    """The page with each table made anew.

    Args:
        page: Markdown with the markers of TABLES.
        best: By contender of `bench_judging` what it measured. A table of one that was not measured
            stays as it is.

    Raises:
        ValueError: A table's markers are missing.
    """
    for name, (needed, lines) in TABLES.items():
        if needed <= set(best):
            page = between_markers(page, name, lines(best))
    return page


def between_markers(page: str, name: str, lines: list[str]) -> str:
    """The page with these lines in place of those between the markers of `name`."""
    pattern = rf"(<!-- {name}:begin\b[^\n]*-->\n).*?(<!-- {name}:end -->)"
    text = "".join(f"{line}\n" for line in lines)
    made, count = re.subn(
        pattern, lambda found: f"{found[1]}\n{text}\n{found[2]}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the page has {count} places between <!-- {name}:begin … --> and its end")
    return made


def _slopes(best: Mapping[str, Found]) -> list[str]:
    rows = [best[name] | {"family": family} for name, family in _FAMILIES.items()]
    return [
        "| family | searches of pure noise | that end with a slope | with one trial's level |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row['family']} | {row['runs']:,} | {_share_and_error(row, 'shared')}"
            f" | {_share_and_error(row, 'unshared')} |"
            for row in rows
        ),
        "",
        f"(± one standard error. The level of 5 % is shared by the {rows[0]['trials']} trials of a"
        " search; the last column is what it would be if it were not.)",
    ]


def _share_and_error(row: Found, name: str) -> str:
    return f"{_percent(row[name])} ± {100 * row[f'{name}_error']:.1f}"


def _gate(best: Mapping[str, Found]) -> list[str]:
    found = best["gate"]
    few, many = found["kinds"]
    kinds = [
        (found["kinds"][few][name], found["kinds"][many][name]) for name in found["kinds"][few]
    ]

    def both(pair: tuple[Found, Found], key: str) -> str:
        return " / ".join(_percent(one[key]) for one in pair)

    def if_bad(pair: tuple[Found, Found], key: str) -> str:
        return both(pair, key) if pair[0]["excess"] > found["margin"] else ""

    at_margin = found["approved_at_the_margin"]
    return [
        "| candidate | true excess loss | approved a look | and beside the champion"
        " | bad months, all such | ever | bad months, every second such | ever |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {_percent(pair[0]['excess'])} | {both(pair, 'approved')}"
            f" | {both(pair, 'approved_in_turn')} | {if_bad(pair, 'bad_months')}"
            f" | {if_bad(pair, 'ever_bad')} | {if_bad(pair, 'bad_months_of_half')}"
            f" | {if_bad(pair, 'ever_bad_of_half')} |"
            for name, pair in zip(found["kinds"][few], kinds, strict=True)
        ),
        "",
        f"({few} / {many} tickers, {found['decades']} simulated decades of {found['months']} looks"
        " at 30 sessions each; bad: a champion whose true excess loss is above the margin of"
        f" {_percent(found['margin'], 0)} serves. `Every second such`: the others are the random"
        " walk.) **The budget is 5 % a look and none a decade: a candidate that truly loses the"
        f" margin passes in {100 * at_margin:.1f} % of the looks, so of {found['months']} of them"
        f" about {found['months'] * at_margin:.0f} pass, and what ends a mistake is the next"
        " approved version.**",
    ]


def _rivals(best: Mapping[str, Found]) -> list[str]:
    found = best["rivals"]
    own = found["laws"]["ours"]
    lines = [
        "| method | CRPS, ours / its | DM t | 95 % interval score, ours / its | DM t"
        " | coverage 50 / 80 / 95 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, law in found["laws"].items():
        cells = []
        for loss in ("crps", "interval_score_95"):
            known = loss in law and name != "ours"
            cells.append(f"{own[loss] / law[loss]:.3f}" if known else "")
            cells.append(f"{law[f'{loss}_t']:.1f}" if known else "")
        covered = (law.get(f"covered_{c}") for c in (50, 80, 95))
        cells.append(" / ".join("–" if c is None else f"{100 * c:.1f}" for c in covered))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"(The sample's stocks, {found['forecasts']:,} forecasts from {found['first']} to"
        f" {found['last']}, {_percent(found['share_compared'], 0)} of ours: the others have fewer"
        " than 500 returns before them. Below one and positive t: ours is better. GARCH is fitted"
        " each month to all of a stock's returns so far and knows closes only; ours also knows the"
        " sessions' ranges.)",
    ]


def _calibration(best: Mapping[str, Found]) -> list[str]:
    columns = [best[_SAMPLE], best[_SIMULATED]]
    return [
        "| intervals of 50 / 80 / 95 % | sample prices | simulated prices |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {' | '.join(cell(found) for found in columns)} |"
            for name, cell in _CALIBRATION.items()
        ),
        "",
        "(Confidence intervals count a session as one observation. Rejections are of tickers at"
        " 5 %, in brackets what chance alone would bring. Simulated: a market in common, clustering"
        " volatility, jumps, and spans without bars.)",
    ]


def _percents(coverage: Mapping[str, float | None]) -> str:
    return " / ".join("–" if value is None else f"{100 * value:.1f}" for value in coverage.values())


def _size(found: Found) -> str:
    return (
        f"{found['forecasts']:,}, {found['tickers']} tickers, {found['first'][:7]} to"
        f" {found['last'][:7]}"
    )


def _confidence(found: Found) -> str:
    bounds = found["coverage_confidence"].values()
    return " / ".join("–" if b is None else f"{100 * b[0]:.1f}–{100 * b[1]:.1f}" for b in bounds)


def _rejections(test: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        counts = found[test].values()
        rejected = " / ".join(str(one["rejected"]) for one in counts)
        return f"{rejected} ({next(iter(counts))['expected_by_chance']:g})"

    return cell


def _regime(name: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        regimes = found["coverage_by_regime"]
        return _percents(regimes[name]["coverage"]) if regimes else "–"

    return cell


def _after_gaps(found: Found) -> str:
    after = found["coverage_after_gaps"]
    return f"{_percents(after['coverage'])} ({after['forecasts']:,} forecasts)"


def _worst_week(found: Found) -> str:
    weeks = found["worst_weeks"]
    return f"{_percents(weeks[0]['coverage'])} (week of {weeks[0]['monday']})" if weeks else "–"


def _worst_weeks(found: Found) -> str:
    weeks = found["worst_weeks"]
    forecasts = sum(week["forecasts"] for week in weeks)
    if not forecasts:
        return "–"
    pooled = {
        c: sum(week["forecasts"] * week["coverage"][c] for week in weeks) / forecasts
        for c in weeks[0]["coverage"]
    }
    return _percents(pooled)


def _spread(key: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        return _percents({name: one[key] for name, one in found["joint"].items()})

    return cell


_CALIBRATION: dict[str, Callable[[Found], str]] = {
    "forecasts": _size,
    "coverage": lambda found: _percents(found["coverage"]),
    "its 95 % confidence interval": _confidence,
    "Kupiec's test (right share) rejects": _rejections("kupiec"),
    "Christoffersen's test of independence rejects": _rejections("independence"),
    "Christoffersen's test of both rejects": _rejections("christoffersen"),
    "coverage, calm third of the sessions": _regime("calm"),
    "coverage, middle third": _regime("middle"),
    "coverage, turbulent third": _regime("turbulent"),
    "coverage after gaps": _after_gaps,
    "coverage, worst week": _worst_week,
    "coverage, five worst weeks": _worst_weeks,
    "standard deviation of daily coverage": _spread("sd_daily_coverage"),
    "the same if forecasts missed independently": _spread("sd_if_independent"),
}


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


TABLES: dict[str, tuple[set[str], Callable[[Mapping[str, Found]], list[str]]]] = {
    "judging-slopes": (set(_FAMILIES), _slopes),
    "judging-gate": ({"gate"}, _gate),
    "judging-rivals": ({"rivals"}, _rivals),
    "judging-calibration": ({_SAMPLE, _SIMULATED}, _calibration),
}
"""By the name of the markers: the contenders that a table is made of, and its lines."""
