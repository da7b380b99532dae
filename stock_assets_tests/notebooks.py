"""Notebooks as scripts: the code of their cells, run in a process of their own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def code_cells(notebook: Path) -> list[str]:
    """The code of each cell, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


_RUNNER = """
import ast, json, sys
names = {"__name__": "__main__"}
for number, source in enumerate(json.load(sys.stdin), start=1):
    where = f"cell {number}"
    tree = ast.parse(source, where)
    shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else ast.Expr(ast.Constant(None))
    exec(compile(tree, where, "exec"), names)
    value = eval(compile(ast.Expression(shown.value), where, "eval"), names)
    if value is not None:
        print(f"[{number}]", value.to_string() if hasattr(value, "to_string") else value)
"""


def run_notebook(
    notebook: Path, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs the cells in a folder; prints what each one's last expression is, as a page would show.

    A cell that raises ends the process with its error, which names the cell and line.
    """
    return subprocess.run(
        [sys.executable, "-c", _RUNNER],
        input=json.dumps(code_cells(notebook)),
        cwd=folder,
        env=dict[str, Any](environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
