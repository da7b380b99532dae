"""Runs one contender of a case, or its preparation; the last line it prints is the measurement."""

import importlib
import json
import re
import resource
import sys
from pathlib import Path


def peak_mb() -> float:
    """Peak memory of this process; getrusage would count that of its parent before `exec`."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found.group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    module, contender, folder, size = sys.argv[1:]
    case = importlib.import_module(module).CASE
    work = case.contenders[contender] if contender else case.prepare
    result = work(Path(folder), json.loads(size)) or {}
    print(json.dumps({**result, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
