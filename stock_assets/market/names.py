"""What may be the name of a ticker, or of somebody's model.

Names come from files and settings, and go into HTML, Markdown, messages, labels, addresses, tables
of a terminal and CSV files that a spreadsheet opens. Each of these escapes what it must. A name
that means something in one of them is refused all the same: no exchange has such a one.
"""

MOST_LETTERS = 64
_OF_MARKUP = "<>|`\"'\\[]{}"
_OF_FORMULAS = "=+-@"
"""With these a spreadsheet's formula begins."""


def fault_of(name: str) -> str | None:
    """Why something can't be a name; None where it can.

    Names like `^GSPC`, `BRK-B`, `EURUSD=X`, `M&M.NS`, `7203` and `AutoARIMA (log)` can.
    """
    if not 1 <= len(name) <= MOST_LETTERS:
        return f"it has {len(name)} letters, not 1 to {MOST_LETTERS}"
    # Neither line breaks nor what moves a terminal's cursor, turns the writing round or can't be
    # seen.
    if not name.isprintable() or name != name.strip():
        return "it holds what can't be seen in print"
    if name[0] in _OF_FORMULAS:
        return f"it begins with {name[0]!r}, as a spreadsheet's formula does"
    if found := [letter for letter in name if letter in _OF_MARKUP]:
        return f"it holds {found[0]!r}, which means something in a page or table"
    return "it holds '..', which leads out of a folder" if ".." in name else None
