"""Speed, growth, accuracy and start-up, side by side with torch: `make bench`.

    python -m benchmarks                    all, written to benchmarks/*.json
    python -m benchmarks speed growth       only these
    python -m benchmarks --quick            smaller and shorter; nothing is written
    python -m benchmarks --quick --gate 1.5 and exit with 1 if anything is above 1.5 times its bar
    python -m benchmarks speed --jax PYTHON with JAX beside, by the Python of an environment with it

Ratios only: both contenders run in one process, in turns, and each turn warms up before it is
timed. A ratio is the median over the rounds of the best of ours against the best of
theirs. Memory that malloc hands back to the system at once would be measured as page faults, mostly
torch's, so the allocator is told to keep it ("warm arena").
"""

import argparse
import json
import os
import sys
from pathlib import Path

FAIR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592",
        "MALLOC_TOP_PAD_": "67108864", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1"}
if os.environ.get("MALLOC_TOP_PAD_") != FAIR["MALLOC_TOP_PAD_"]:    # read by libc at start
    os.environ.update(FAIR)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]])

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "tests"))    # the cases of the tests are what is measured

import torch

from benchmarks import accuracy, ctc, growth, kernels, linear, peer, speed, startup
from benchmarks.timing import machine

PARTS = {"speed": speed, "kernels": kernels, "ctc": ctc, "linear": linear, "growth": growth,
         "accuracy": accuracy, "startup": startup}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART",
                        help=f"of {', '.join(PARTS)}; all, if none is named")
    parser.add_argument("--quick", action="store_true",
                        help="smaller and shorter; nothing is written")
    parser.add_argument("--gate", type=float, metavar="FACTOR",
                        help="fail if anything is above so many times its bar")
    parser.add_argument("--jax", metavar="PYTHON", help="measure JAX beside, by this interpreter")
    given = parser.parse_args()
    os.environ["LOSSBOOK_JAX"] = peer.PYTHON = given.jax or peer.PYTHON
    torch.set_num_threads(1)
    failed = []
    for name in given.parts or PARTS:
        print(f"== {name}", flush=True)
        rows = getattr(PARTS[name], name)(given.quick)
        for what, measured, bar in PARTS[name].verdict(rows):
            if measured > bar:
                print(f"above its bar: {what}: {measured} (bar {bar})", flush=True)
            if given.gate and measured > given.gate * bar:
                failed.append(what)
        if not given.quick:
            path = FOLDER / f"{name}.json"
            path.write_text(as_text({**machine(), **(peer.versions() if peer.PYTHON else {})},
                                    rows))
            print(f"written: {path}", flush=True)
    if failed:
        sys.exit(f"above {given.gate} times the bar: " + "; ".join(failed))


def as_text(machine, rows):
    """JSON with a row to a line."""
    lines = ",\n".join(json.dumps(row, default=str) for row in rows)
    return f'{{"machine": {json.dumps(machine)},\n"rows": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    main()
