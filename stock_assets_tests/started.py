"""A command in a process group of its own, as a terminal starts one."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def started(
    command: Sequence[str], home: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """What it says on either stream is read from its standard output."""
    return subprocess.Popen(
        command,
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
