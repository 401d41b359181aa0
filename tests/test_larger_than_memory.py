"""Two workers find what one process finds that holds all, and nothing of them outlives its run.

The tests take the small year: `python -m tools.larger_than_memory --check` takes both. Each cluster
has a time limit of its own, and ends what it started.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from dask import delayed

from processes import alive, started, waited
from tools import larger_than_memory as ltm

SHOWN = json.loads(ltm.FILE.read_text(encoding="utf-8"))
CLOSE = dict(rel=1e-3, abs=1e-4)        # five digits are stored


def heard(pids):
    """The addresses at which processes listen."""
    return {place.laddr for pid in pids for place in psutil.Process(pid).net_connections()
            if place.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What two workers found and did, and what was left when they were gone."""
    ours, before, path = os.getpid(), heard([os.getpid()]), sys.path.copy()
    scratch, data = tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("data")
    too_much = data / "too much.npy"        # a file that takes no place on the disk
    np.lib.format.open_memmap(too_much, "w+", shape=(3_276_000, len(ltm.EFFECTS) + 1)).flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        patch.setenv("TMPDIR", str(scratch))        # that of the workers
        with ltm.cluster(limit=180) as (client, compute):
            workers = set(client.run(os.getpid).values())
            places = heard([ours, *workers]) - before
            files = ltm.year(compute, data / "year", ltm.SIZES["small"])
            year, peaks = ltm.fitted(compute, files), client.run(ltm.peak)
            few, many = (ltm.ended(compute, one, 0.5) for one in (files, [too_much]))
            client.wait_for_workers(2, timeout=30)          # one was ended, and is replaced
            workers |= set(client.run(os.getpid).values())
    return SimpleNamespace(year=year, files=files, peaks=peaks, few=few, many=many, workers=workers,
                           places=places, left=heard([ours]) - before,
                           scratch=[*scratch.iterdir()], path=set(sys.path) - set(path))


def test_the_workers_find_what_one_piece_gives(run):
    assert len(run.files) == 52 and len(run.peaks) == 2
    assert set(run.year["errors"].values()) == {0}, run.year["errors"]      # 0 is at most 1e-12
    expected, delayed = run.year["expected"], run.year["delayed"]
    assert expected == pytest.approx(delayed, rel=1e-4)         # as a constant must
    assert run.year["mean of means"]["expected"] < delayed - 0.05
    assert run.year["mean of means"]["value"] > run.year["values"][-1]


def test_the_file_says_what_the_workers_find(run):
    shown = SHOWN["years"]["small"]
    assert run.year.keys() == shown.keys() and run.year["errors"] == shown["errors"]
    for found, kept in ((run.year, shown), (run.year["mean of means"], shown["mean of means"])):
        for name, value in found.items():
            if not isinstance(value, dict):
                assert value == pytest.approx(kept[name], **CLOSE), name


def test_the_file_is_as_the_script_writes_it():
    assert ltm.FILE.read_text(encoding="utf-8") == json.dumps(SHOWN, indent=1) + "\n"
    assert SHOWN["workers"] == 2 and SHOWN["megabytes of a worker"] == 160
    assert SHOWN["years"].keys() == ltm.SIZES.keys() and SHOWN["ended when it holds all"]
    assert SHOWN["years"]["large"]["megabytes"] > SHOWN["megabytes of a worker"]


def test_a_worker_takes_less_than_it_may_and_is_ended_if_it_takes_more(run):
    assert max(run.peaks.values()) < ltm.SPILL * 160e6
    assert run.many and not run.few


def test_nobody_else_hears_them_and_nothing_is_left(run):
    assert {place.ip for place in run.places} == {"127.0.0.1"} and len(run.places) >= 4
    assert len(run.workers) == 3 and not alive(run.workers)
    assert not run.left and not run.scratch and not run.path


def test_the_same_tree_gives_the_same_bits_whoever_climbs_it(run):
    alone = partial(ltm.by_sums, lambda lazy: lazy.compute(scheduler="synchronous"), run.files)
    last = ltm.newton(alone, ltm.STEPS)[-1]
    assert ltm.rounded(last[0]) == run.year["parameters"]


@pytest.mark.parametrize("few", [2, 3, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 9, 52])
def test_any_tree_adds_up_each_part_once(count, few):
    total = ltm.merged([delayed(10**place) for place in range(count)], few)
    assert total.compute(scheduler="synchronous") == int("1" * count)


def test_an_error_of_the_thirteenth_digit_is_none_and_one_of_the_eleventh_is():
    truth = np.array([1.0, 2.0])
    assert ltm.off(truth * (1 + 1e-13), truth, truth) == 0
    assert ltm.off(truth * (1 + 1e-11), truth, truth) == pytest.approx(1e-11, rel=1e-3)


# ---------------------------------------------------------------- nothing is left, whatever happens

def stuck(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_a_run_that_hangs_ends_with_its_limit(tmp_path):
    limit, before = 3, heard([os.getpid()])
    with pytest.raises(TimeoutError), ltm.cluster(limit=limit) as (_, compute):
        begun = time.monotonic()
        compute(delayed(stuck)(str(tmp_path)))
    assert time.monotonic() - begun < limit + 30
    assert started(tmp_path) and not alive(started(tmp_path))
    assert heard([os.getpid()]) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a parent that is killed, as Unix kills")
def test_no_worker_outlives_a_parent_that_was_killed(tmp_path):
    (seen := tmp_path / "seen").mkdir()
    (scratch := tmp_path / "scratch").mkdir()       # what a killed parent leaves lies here
    folders = [str(ltm.FILE.parents[2]), str(Path(__file__).parent)]
    script = (f"import sys; sys.path[:0] = {folders}\n"
              "from test_larger_than_memory import delayed, ltm, stuck\n"
              "if __name__ == '__main__':\n"
              "    with ltm.cluster(limit=120) as (_, compute):\n"
              f"        compute(delayed([delayed(stuck, pure=False)({str(seen)!r})] * 2))")
    parent = subprocess.Popen([sys.executable, "-c", script],
                              env={**os.environ, "TMPDIR": str(scratch)})
    try:
        assert waited(lambda: started(seen)), "no worker has started"
    finally:
        parent.kill()
        parent.wait()
    assert waited(lambda: not alive(started(seen)))
