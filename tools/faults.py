"""Plant faults and see that something goes red.

    python -m tools.faults                   all of tools/faults.json
    python -m tools.faults huber_loss core   those whose name contains one of the words

Each fault is a small edit: in `file`, the text `old`, which stands there once, becomes `new`. With
it in place, `target` (a notebook, checked output by output, or tests as pytest takes them) must
fail. The edit is made in a copy of the working tree; with the file `sitecustomize.py`, which Python
imports when it starts, it changes torch. Exit status 1 if a fault goes unnoticed, or no longer fits
the file.
"""

import json
import os
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tools.notebooks import ROOT, settle_environment

LIST = Path(__file__).with_name("faults.json")
WORKERS = os.cpu_count() or 1
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120",
         "--nbval-sanitize-with=tests/nbval_sanitize.cfg")


def copy_of_the_tree(folder: Path) -> None:
    """Every file that git knows or would take, as it is now. It alone asks for git."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                            capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "sitecustomize.py").touch()


def run(target: str, folder: Path) -> subprocess.CompletedProcess:
    """Test a notebook or a test file of the copy, with the copy's package."""
    options = NBVAL if target.endswith(".ipynb") else ()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options,
         *shlex.split(target)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True)


def first_failure(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].split(" - ")[0] if lines else output.strip().splitlines()[-1]


def found(fault: dict, folder: Path) -> str | None:
    """The test that found the fault, or None."""
    path = folder / fault["file"]
    text = path.read_text()
    if text.count(fault["old"]) != 1:
        return None
    path.write_text(text.replace(fault["old"], fault["new"]))
    try:
        done = run(fault["target"], folder)
        return first_failure(done.stdout) if done.returncode in (1, 2) else None    # 2: no import
    finally:
        path.write_text(text)


def main(words: list[str]) -> int:
    settle_environment()
    faults = [fault for fault in json.loads(LIST.read_text())
              if not words or any(word in fault["name"] for word in words)]
    if not faults:
        sys.exit(f"no fault is named like {' or '.join(words)}")
    targets = sorted({fault["target"] for fault in faults})
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        copies = queue.SimpleQueue()
        for number in range(WORKERS):
            copies.put(Path(folder) / str(number))
            copy_of_the_tree(Path(folder) / str(number))

        def in_a_copy(work, given):
            copy = copies.get()
            try:
                return work(given, copy)
            finally:
                copies.put(copy)

        for target, done in zip(targets, pool.map(partial(in_a_copy, run), targets)):
            if done.returncode:
                pool.shutdown(cancel_futures=True)
                print(f"{target} is red without a fault: {first_failure(done.stdout)}", flush=True)
                return 1
        print(f"{len(targets)} targets are green without a fault", flush=True)
        missed = 0
        finders = pool.map(partial(in_a_copy, found), faults)
        for number, (fault, finder) in enumerate(zip(faults, finders), 1):
            missed += finder is None
            print(f"[{number}/{len(faults)}] {fault['name']}: {finder or 'NOT FOUND'}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
