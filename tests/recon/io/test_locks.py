"""One job for each folder: claims between processes, within one, and folders that vanish."""

import gc
import os
import shutil
import subprocess
import sys

import pytest

from recon.core.errors import InputError
from recon.io.folders import OutputFolder, atomic_write
from recon.io.locks import LOCK

_JOB = """
import sys
from recon.core.errors import InputError
from recon.io.folders import OutputFolder
try:
    folder = OutputFolder.create(sys.argv[1], {"x": 1})
except InputError as error:
    print(error)
    sys.exit(2)
print("begun", flush=True)
sys.stdin.readline()
"""


def _job(folder) -> subprocess.Popen:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", _JOB, str(folder)], **streams, env={**os.environ, "PYTHONPATH": "."})


def test_a_second_process_ends_with_the_owner_named(tmp_path):
    first = _job(tmp_path)
    assert first.stdout.readline() == "begun\n"
    second = _job(tmp_path)
    said, _ = second.communicate()
    assert second.returncode == 2
    assert f"process {first.pid} on " in said
    assert said.count("\n") == 1
    first.kill()  # the claim goes with its process, whatever ends it
    first.wait()
    third = _job(tmp_path)
    assert third.stdout.readline() == "begun\n"
    third.communicate("end\n")
    assert third.returncode == 0


def test_a_claim_ends_with_its_object(tmp_path):
    folder = OutputFolder.create(tmp_path, {})
    assert (tmp_path / LOCK).exists()
    del folder
    gc.collect()
    assert not (tmp_path / LOCK).exists()


def test_the_same_process_may_look_twice_and_disturbs_nothing(tmp_path):
    folder = OutputFolder.create(tmp_path, {})
    with folder.write("a") as temporary:
        temporary.write_text("half")
        assert OutputFolder.create(tmp_path, {}).resumed
        temporary.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_folder_that_was_removed_stays_away(tmp_path, moment):
    folder = OutputFolder.create(tmp_path / "out", {})
    (folder.path / "deep").mkdir()

    def write() -> None:
        if moment == "before":
            shutil.rmtree(folder.path)
        with atomic_write(folder.path / "deep" / "file") as temporary:
            if moment == "during":
                shutil.rmtree(folder.path)
            temporary.write_text("x")

    with pytest.raises(InputError, match=r"was removed .* run the same command again"):
        write()
    assert not folder.path.exists()
    assert not OutputFolder.create(tmp_path / "out", {}).resumed
