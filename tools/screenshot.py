"""Take a picture of a page of the built site.

    python -m tools.screenshot book/intro -o intro.png              1200 px wide, light
    python -m tools.screenshot book/intro --dark --width 390 -o phone.png
    python -m tools.screenshot book/intro --at "#its-shape" -o shape.png    one section
"""

import argparse
from pathlib import Path

from tools.notebooks import ROOT
from tools.website import launched, open_page, served


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.screenshot", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("page", help="a page, with or without .html, from the root of the site")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--at", help="only the first element that this CSS selector finds")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    options = parser.parse_args()
    page = options.page.removesuffix(".html").removesuffix(".ipynb") + ".html"
    with served(options.site) as base, launched() as browser:
        scheme = "dark" if options.dark else "light"
        tab = browser.new_page(viewport={"width": options.width, "height": 900},
                               color_scheme=scheme)
        open_page(tab, base + page)
        if options.at:
            tab.locator(options.at).first.screenshot(path=options.output)
        else:
            tab.screenshot(path=options.output, full_page=True)
    print(options.output)


if __name__ == "__main__":
    main()
