"""Plant faults and see that something goes red.

    python -m tools.faults                   all of tools/faults.json
    python -m tools.faults huber_loss core   those whose name contains one of the words

Each fault is a small edit: in `file`, the text `old`, which stands there once, becomes `new`. With it in
place, `target` (a notebook, checked output by output, or tests as pytest takes them) must fail. The edit is made in a copy
of the working tree. Exit status 1 if a fault goes unnoticed, or no longer fits the file.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.notebooks import ROOT, settle_environment

LIST = Path(__file__).with_name("faults.json")
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120",
         "--nbval-sanitize-with=tests/nbval_sanitize.cfg")


def copy_of_the_tree(folder: Path) -> None:
    """Every file that git knows or would take, as it is now."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                            capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def run(target: str, folder: Path) -> subprocess.CompletedProcess:
    """Test a notebook or a test file of the copy, with the copy's package."""
    options = NBVAL if target.endswith(".ipynb") else ()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options, *shlex.split(target)],
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
        return first_failure(done.stdout) if done.returncode == 1 else None
    finally:
        path.write_text(text)


def main(words: list[str]) -> int:
    settle_environment()
    faults = [fault for fault in json.loads(LIST.read_text())
              if not words or any(word in fault["name"] for word in words)]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy_of_the_tree(folder)
        for target in sorted({fault["target"] for fault in faults}):
            if run(target, folder).returncode:
                print(f"{target} is red without a fault", flush=True)
                return 1
        for number, fault in enumerate(faults, 1):
            finder = found(fault, folder)
            missed += finder is None
            print(f"[{number}/{len(faults)}] {fault['name']}: {finder or 'NOT FOUND'}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
