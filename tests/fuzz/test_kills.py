"""Jobs that are killed at arbitrary moments lose nothing; ``tools/kill_runs.py`` kills more often."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_lose_nothing() -> None:
    command = [sys.executable, "tools/kill_runs.py", "--kills", "8", "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "8 kills" in ended.stdout
    assert "0 losses" in ended.stdout
