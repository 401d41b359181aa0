"""Real processes settle on the gradient of one process, and none of them outlives its run.

Each start has a time limit of its own: `on_machines` raises TimeoutError and kills what it started.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException

from processes import alive, started, waited
from tools import many_machines as mm

SHOWN = json.loads(mm.FILE.read_text(encoding="utf-8"))
CLOSE = dict(rel=1e-3)      # five digits are stored


@pytest.fixture(scope="module")
def found():
    return mm.measure()


@pytest.mark.parametrize("machines", mm.WORLDS)
def test_the_gradients_are_those_of_one_process(found, machines):
    rows = found["worlds"][str(machines)]
    assert rows.keys() == mm.tasks().keys()
    off = {(task, way): row["errors"][way] for task, row in rows.items() for way in mm.WAYS
           if way not in mm.WRONG}
    assert len(off) == 4 * len(rows) and not any(off.values()), off       # 0 is at most 1e-12
    for row in rows.values():
        assert row["errors"]["factor forgotten"] == pytest.approx(1 - 1 / machines)
        assert (row["errors"]["mean of means"] == 0) == (len(set(row["counts"])) == 1)


@pytest.mark.parametrize("machines", mm.WORLDS)
def test_the_file_says_what_the_processes_find(found, machines):
    rows, shown = found["worlds"][str(machines)], SHOWN["worlds"][str(machines)]
    assert rows.keys() == shown.keys()
    for task, row in rows.items():
        for what in ("counts", "norm", "errors"):
            assert row[what] == pytest.approx(shown[task][what], **CLOSE)


def test_the_file_says_what_training_gives(found):
    assert found["training"].keys() == SHOWN["training"].keys()
    for name in mm.OPTIMISERS:
        assert found["training"][name] == pytest.approx(SHOWN["training"][name], **CLOSE)


def test_the_file_is_as_the_script_writes_it():
    assert mm.FILE.read_text(encoding="utf-8") == json.dumps(SHOWN, indent=1) + "\n"


def test_an_error_of_the_thirteenth_digit_is_none_and_one_of_the_eleventh_is():
    truth = mm.alone(mm.tasks()["by length"])
    assert mm.error([truth, truth * (1 + 1e-13)], truth) == 0
    assert mm.error([truth, truth * (1 + 1e-11)], truth) == pytest.approx(1e-11, rel=1e-3)


# ---------------------------------------------------------------- nothing is left, whatever happens

def stuck(rank, world, folder):
    """The first machine waits for the second, inside gloo, and the second sleeps."""
    (Path(folder) / str(os.getpid())).touch()
    dist.barrier() if rank == 0 else time.sleep(600)


def broken(rank, world, folder):
    (Path(folder) / str(os.getpid())).touch()
    if rank == 1:
        raise ArithmeticError("no gradient today")
    dist.barrier()


def killed(rank, world, folder):
    (Path(folder) / str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL) if rank == 1 else dist.barrier()


def test_a_run_that_hangs_ends_with_its_limit(tmp_path):
    limit, start = 5, time.monotonic()
    with pytest.raises(TimeoutError, match="stuck on 2 processes: not done within 5 seconds"):
        mm.on_machines(2, stuck, str(tmp_path), limit=limit)
    assert time.monotonic() - start < limit + 10
    assert not alive(started(tmp_path))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed as Unix kills")
@pytest.mark.parametrize("work", [broken, killed])
def test_where_one_process_fails_all_end(tmp_path, work):
    with pytest.raises(ProcessException):
        mm.on_machines(2, work, str(tmp_path))
    assert not alive(started(tmp_path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a parent that is killed, as Unix kills")
def test_no_process_outlives_a_parent_that_was_killed(tmp_path):
    folders = [str(mm.FILE.parents[2]), str(Path(__file__).parent)]
    script = (f"import sys; sys.path[:0] = {folders!r}\n"
              "from test_many_machines import mm, stuck\n"
              f"if __name__ == '__main__': mm.on_machines(2, stuck, {str(tmp_path)!r}, limit=120)")
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        assert waited(lambda: len(started(tmp_path)) == 2), "the two processes did not start"
    finally:
        parent.kill()
        parent.wait()
    assert waited(lambda: not alive(started(tmp_path)))
