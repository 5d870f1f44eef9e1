"""Real faults, small counts: tools/batch_faults.py is the same with larger ones."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from s3_server import COMMAND

ROOT = Path(__file__).resolve().parents[3]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")
needs_s3 = pytest.mark.skipif(not COMMAND, reason="no S3-compatible server: set MVDIFF_S3RVER to s3rver's command")
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can mount a small disk")


def faults(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "tools/batch_faults.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_kills_of_workers_and_the_driver_lose_nothing() -> None:
    text = faults("kills", "--photos", "150", "--every", "1.5")
    assert "300 files: 0 lost, 0 too many, 0 changed; 150 commits and 150 rows (150 different)" in text
    assert "'drivers': 2" in text


@pytest.mark.slow
@needs_s3
def test_a_killed_store_loses_nothing() -> None:
    text = faults("kills", "--photos", "120", "--every", "4", "--store", "s3")
    assert "240 files: 0 lost, 0 too many, 0 changed; 120 commits and 120 rows (120 different)" in text
    assert "'stores': 1" in text


@pytest.mark.slow
@needs_ray
def test_kills_on_a_cluster_of_two_nodes_lose_nothing() -> None:
    text = faults("kills", "--photos", "120", "--every", "8", "--engine", "ray")
    assert "240 files: 0 lost, 0 too many, 0 changed; 120 commits and 120 rows (120 different)" in text


@pytest.mark.slow
@needs_s3
def test_a_store_that_answers_503_loses_nothing() -> None:
    assert "50 of 50 photos" in faults("busy-store")


@pytest.mark.slow
@needs_root
def test_a_full_disk_is_waited_for() -> None:
    assert "60 of 60 photos, 0 failures, 0 leftovers" in faults("full-disk")
