"""A Sphinx extension: keep of MathJax only the files that a page of this book can load.

`sphinx-mathjax-offline` copies all 24 MB of it into the site. Kept are the component that the pages
name, its fonts, the TeX extensions that it loads on demand, and what its menu loads for a screen reader.
"""

from pathlib import Path

KEEP = (
    "tex-chtml.js",
    "output/chtml/fonts/woff-v2",
    "input/tex/extensions",
    "a11y",
    "sre/mathmaps/en.json",
    "sre/mathmaps/base.json",
)


def trim(root: Path) -> None:
    """Delete every file under `root` that no entry of KEEP names, then the empty folders."""
    keep = [root / entry for entry in KEEP]
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not any(path == k or k in path.parents for k in keep):
            path.unlink()


def finished(app, exception) -> None:
    mathjax = Path(app.outdir) / "_static" / "mathjax"
    if exception is None and mathjax.is_dir():
        trim(mathjax)


def setup(app):
    # 900: after sphinx-mathjax-offline's own handler, which runs at the default 500.
    app.connect("build-finished", finished, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
