"""Other fonts than this machine's, to look at the pages in: `make look FONTS=noto`.

    python -m tools.fonts noto      fetch a set of fonts, once, and print the file that describes it

A browser on Linux draws with the fonts of the file that FONTCONFIG_FILE names. The sets are
packages of Debian. They are unpacked into .venv/fonts, and nothing is installed.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.notebooks import ROOT

SETS = {
    "dejavu": ["fonts-dejavu-core"],
    "dejavu-extra": ["fonts-dejavu-core", "fonts-dejavu-extra"],    # a light one, a mathematical
    "liberation": ["fonts-liberation"],
    "noto": ["fonts-noto-core"],
}
FOLDER = ROOT / ".venv/fonts"
# Which font serves for `sans-serif` is said by the rules of the machine.
SETTINGS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{folder}</dir>
  <cachedir>{folder}/cache</cachedir>
  <include ignore_missing="yes">/etc/fonts/conf.d</include>
</fontconfig>
"""


def described(name: str) -> Path:
    """The file that describes a set, which is fetched if it is not there."""
    folder = FOLDER / name
    if not folder.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as fresh:
            made = Path(fresh, name)
            made.mkdir()
            fetch(SETS[name], made)
            (made / "fonts.conf").write_text(SETTINGS.format(folder=folder))
            made.rename(folder)
    return folder / "fonts.conf"


def fetch(packages: list[str], folder: Path) -> None:
    """Unpack the fonts of Debian's packages into a folder."""
    if not shutil.which("apt-get"):
        raise SystemExit(f"{', '.join(packages)}: not fetched, for there is no apt-get here")
    download = ["apt-get", "download", "-qq", *packages]
    try:
        run(download, folder)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        run(["apt-get", "update", "-qq"], folder)       # a fresh machine knows no packages yet
        run(download, folder)
    for package in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", package.name, "."], folder)
        package.unlink()


def run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tools.fonts", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=SETS)
    name = parser.parse_args(arguments).name
    try:
        print(described(name))
    except subprocess.CalledProcessError as failed:
        said = failed.stderr.strip().rpartition("\n")[2]
        raise SystemExit(f"{', '.join(SETS[name])}: not fetched. {said}") from None


if __name__ == "__main__":
    main()
