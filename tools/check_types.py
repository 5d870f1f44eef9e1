"""Check static types with mypy: gated packages have no errors, all others no more than recorded.

``python tools/check_types.py`` fails on an error in a gated package or on a risen count;
``python tools/check_types.py --update`` records a fallen one.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tools/type_errors.json"
#: Packages without errors.
GATED = ("recon/core/", "recon/posterior/", "mvdiff/sampling/", "mvdiff/runs/")
_ERROR = re.compile(r"^(?P<file>[^:]+\.py):\d+: error: ")


@dataclass(frozen=True)
class CheckTypes:
    update: bool = False
    """Record the current number of errors if it has fallen."""


def run_mypy() -> list[str]:
    """Return mypy's error lines for both packages."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", "mvdiff", "recon"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return [line for line in done.stdout.splitlines() if _ERROR.match(line)]


def main(config: CheckTypes) -> int:
    errors = run_mypy()
    files = [line.partition(":")[0].replace("\\", "/") for line in errors]
    gated = [line for line, file in zip(errors, files, strict=True) if file.startswith(GATED)]
    counts = Counter(file.split("/")[0] for file in files if not file.startswith(GATED))
    allowed = json.loads(RECORD.read_text("utf-8"))
    risen = {name: count for name, count in counts.items() if count > allowed.get(name, 0)}
    for line in gated or (errors if risen else []):
        print(line)
    for name in sorted(allowed | counts):
        print(f"{name}: {counts[name]} errors outside the gate, {allowed.get(name, 0)} allowed")
    print(f"{len(gated)} errors in {', '.join(GATED)}")
    if config.update and not risen:
        RECORD.write_text(json.dumps(dict(sorted(counts.items())), indent=2) + "\n")
    return 1 if gated or risen else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(CheckTypes, description=__doc__)))
