"""Threads change the time, and no bit of a result."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lossbook
from cases import CASES
from judges import in_tuple
from lossbook import BCEWithLogitsLoss, GaussianNLLLoss, HuberLoss, TripletMarginWithDistanceLoss
from lossbook.shapes import Elementwise, Rowwise


@pytest.fixture
def threads():
    yield lossbook.set_num_threads
    lossbook.set_num_threads(1)


def bits(loss, arrays):
    return [np.asarray(part).tobytes() for result in (loss(*arrays), loss.grad(*arrays),
                                                      *loss.value_and_grad(*arrays))
            for part in in_tuple(result)]


def layouts(case):
    """Arrays of many blocks: as they come, not in memory order; rows of few and many classes."""
    rng = np.random.default_rng(8)
    for shape in [(3, 7001)] if case.axis is None else [(3000, 5), (300, 100)]:
        arrays = case.generate(rng, np.float32, shape)
        yield arrays
        yield [array[::-1] for array in arrays]
        if case.axis is None:
            yield [array.T for array in arrays]
            yield [arrays[0], *(np.asfortranarray(array) for array in arrays[1:])]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bits_are_those_of_one_thread(case, threads, monkeypatch):
    """In blocks so small that there are many."""
    for shape in (Elementwise, Rowwise):
        for size in {"block_bytes", "rows_bytes"} & vars(shape).keys():
            monkeypatch.setattr(shape, size, 1 << 13)
    for arrays in layouts(case):
        for reduction in case.reductions:
            loss = case.loss(reduction=reduction)
            threads(1)
            alone = bits(loss, arrays)
            for number in (2, 5):
                threads(number)
                assert bits(loss, arrays) == alone, (reduction, number)


def test_what_blocks_share_is_added_in_their_order(threads):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2000, 1000)).astype(np.float32)
    var, weight = rng.uniform(1, 2, (1, 1000)).astype(np.float32), rng.uniform(size=(2000, 1))
    pairs = [(GaussianNLLLoss(), (x, y, var)),
             (BCEWithLogitsLoss(weight=weight), (x, (y > 0.5) * 1.0))]
    alone = [bits(*pair) for pair in pairs]
    threads(3)
    assert alone == [bits(*pair) for pair in pairs]


def test_several_threads_may_call_at_once(threads):
    rng = np.random.default_rng(1)
    data = [rng.normal(size=(2, 600_000)) for _ in range(6)]
    alone = [bits(HuberLoss(), arrays) for arrays in data]
    threads(2)
    with ThreadPoolExecutor(6) as callers:
        assert list(callers.map(lambda arrays: bits(HuberLoss(), arrays), data)) == alone


def test_a_loss_within_a_loss_does_not_wait_for_itself(threads):
    """All threads are busy with the outer loss when it calls the inner one."""
    def distance(u, v):
        big = np.ones(400_000)
        HuberLoss()(big, big)    # more than one block
        gap = u - v
        return np.abs(gap).sum(axis=-1), np.sign(gap), -np.sign(gap)

    rng = np.random.default_rng(2)
    arrays = rng.normal(size=(3, 40_000, 100))
    loss = TripletMarginWithDistanceLoss(distance_function=distance)
    alone = loss(*arrays)
    threads(2)
    done = []
    caller = threading.Thread(target=lambda: done.append(loss(*arrays)), daemon=True)
    caller.start()
    caller.join(timeout=120)
    assert done == [alone]


def test_an_error_in_a_thread_is_raised_by_the_call(threads):
    threads(2)
    x = np.zeros(600_000)
    x[-1] = 3
    with pytest.raises(ValueError, match="input: expected probabilities between 0 and 1, got 3"):
        lossbook.BCELoss()(x, np.zeros(600_000))


@pytest.mark.filterwarnings("error")
def test_the_settings_of_numpy_hold_in_threads(threads):
    """No warning of an overflow, and the caller's own settings stay."""
    threads(2)
    before = np.geterr(), np.getbufsize()
    x = np.full(600_000, 1e300)
    assert lossbook.MSELoss()(x, -x) == np.inf
    assert (np.geterr(), np.getbufsize()) == before


def test_work_is_done_by_so_many_threads(threads):
    seen = set()

    class Watched(Elementwise):
        def terms(self, input, target):
            seen.add(threading.get_ident())
            barrier.wait(timeout=60)    # passes only if two are here at the same time
            yield input - target
            yield np.ones_like(input)

    barrier = threading.Barrier(2)
    threads(2)
    x = np.zeros(4 * Elementwise.block_bytes // 8)    # four blocks
    Watched().value_and_grad(x, x)
    assert len(seen) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_threads_that_it_lacks(threads):
    threads(2)
    x = np.ones(600_000)
    HuberLoss()(x, 0 * x)    # the threads are there
    process = multiprocessing.get_context("fork").Process(target=HuberLoss(), args=(x, 0 * x))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0


def test_how_many_is_asked_and_told(threads):
    assert lossbook.get_num_threads() == 1
    threads(3)
    assert lossbook.get_num_threads() == 3
    for number, error in ((0, "number: expected a number of threads, 1 or above, got 0"),
                          (1.5, "number: expected an integer, got 1.5")):
        with pytest.raises((TypeError, ValueError), match=error):
            threads(number)


@pytest.mark.parametrize("given, said", [
    ("2", "2"), ("", "LOSSBOOK_NUM_THREADS: expected a number of threads, 1 or above, got ''"),
    ("many", "LOSSBOOK_NUM_THREADS: expected a number of threads, 1 or above, got 'many'")])
def test_the_environment_may_say_how_many(given, said):
    result = subprocess.run(
        [sys.executable, "-c", "import lossbook; print(lossbook.get_num_threads())"],
        env={**os.environ, "LOSSBOOK_NUM_THREADS": given}, capture_output=True, text=True)
    assert said in result.stdout + result.stderr
