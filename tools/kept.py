"""A measurement that takes real processes, kept as JSON beside the book: written, or compared."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path


def main(program: str, description: str, file: Path, measure: Callable[[], dict],
         arguments: list[str] | None) -> int:
    """Measure and write `file`; with `--check` write nothing, and return 1 if it would differ."""
    parser = argparse.ArgumentParser(prog=program, description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(arguments)
    text = json.dumps(measure(), indent=1) + "\n"
    if not options.check:
        file.write_text(text, encoding="utf-8", newline="\n")
        print(f"{file}: written")
        return 0
    same = file.is_file() and file.read_text(encoding="utf-8") == text
    print(f"{file}: {'the same' if same else 'another result'}")
    return not same
