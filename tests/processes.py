"""What tests ask of processes that a tool has started."""

import time

import psutil


def started(folder):
    """The processes that have left a file with their number in a folder."""
    return {int(path.name) for path in folder.iterdir()}


def alive(pids):
    """Those that still run."""
    def runs(pid):
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
    return {pid for pid in pids if runs(pid)}


def waited(condition, limit=60):
    """Whether the condition came true in time."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
