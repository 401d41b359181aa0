"""The built site as a reader's browser sees it. tests/test_site.py and tools/screenshot.py use this.

Nothing here needs a network: the site is served on 127.0.0.1 and every other request is refused, and told.
"""

import functools
import http.server
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

PHONE, DESK = 390, 1200
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--hide-scrollbars",
]


# --------------------------------------------------------------------------------- without a browser

class Document(HTMLParser):
    """The anchors of a page and the links out of it."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.refresh = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[k] for k in ("id", "name") if given.get(k)}
        self.links += [given[k] for k in ("href", "src") if given.get(k)]
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.refresh = re.sub(r"(?i)^.*?url=", "", given.get("content", ""))
            self.links.append(self.refresh)


@functools.cache
def document(path: Path) -> Document:
    return Document(path.read_text(encoding="utf-8"))


def pages(site: Path) -> list[Path]:
    """Every page of the site. What lies in folders such as _static are pieces of the theme."""
    return sorted(p for p in site.rglob("*.html") if not any(part.startswith("_") for part in p.relative_to(site).parts))


def broken_links(page: Path, site: Path) -> list[str]:
    """The links of a page to files or anchors of the site that are not there."""
    broken = []
    for link in document(page).links:
        if re.match(r"(?i)[a-z][a-z0-9+.-]*:|//", link):
            continue
        address, anchor = urldefrag(link)
        target = page
        if address:
            target = Path(os.path.normpath(page.parent / unquote(address.partition("?")[0])))
        if not target.is_file() or not target.is_relative_to(site):
            broken.append(f"{link}: no such file")
        elif anchor and target.suffix == ".html" and unquote(anchor) not in document(target).anchors:
            broken.append(f"{link}: no such anchor")
    return broken


# ------------------------------------------------------------------------------------ with a browser

def find_browser() -> str | None:
    """The browser to use: LOSSBOOK_BROWSER, one on the path, or Chrome as macOS has it."""
    if chosen := os.environ.get("LOSSBOOK_BROWSER"):
        return chosen
    return next(filter(None, map(shutil.which, NAMES)), MAC if Path(MAC).is_file() else None)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which `folder` is served while the block runs."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def launched() -> Iterator[object]:
    """A headless browser while the block runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page showed: what is wrong with it, and a line of what was counted."""

    problems: list[str] = field(default_factory=list)
    formulas: int = 0
    images: int = 0

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problems" if self.problems else "ok"
        return f"{self.formulas:4} formulas {self.images:3} images  {verdict}"


def open_page(tab, address: str) -> None:
    """Open a page and wait until its formulas stand and its collapsed parts are open."""
    tab.goto(address, wait_until="load")
    tab.evaluate("async () => { if (window.MathJax && MathJax.startup) await MathJax.startup.promise; await document.fonts.ready; }")
    tab.evaluate(UNFOLD)


UNFOLD = """() => {
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'));
}"""

# How many formulas, which errors, which images without words.
CONTENT = r"""() => {
  const problems = [];
  const article = document.querySelector('article') || document.body;
  const formulas = [...article.querySelectorAll('.math')].filter(e => !e.querySelector('.math'));
  for (const f of formulas)
    if (!f.querySelector('mjx-container')) problems.push('formula not rendered: ' + f.textContent.trim().slice(0, 60));
  const rendered = article.querySelectorAll('mjx-container').length;
  if (rendered < formulas.length) problems.push(`${formulas.length} formulas, ${rendered} rendered`);
  for (const e of article.querySelectorAll('mjx-merror, [data-mjx-error]'))
    problems.push('formula with an error: ' + (e.getAttribute('data-mjx-error') || e.textContent).trim().slice(0, 80));
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    if (n.parentElement.closest('pre, code, script, style, mjx-container')) continue;
    const raw = n.data.match(/\$[^$\s][^$]*\$|\\\(|\\\[|\\begin\{/);
    if (raw) problems.push('raw TeX in the text: ' + n.data.trim().slice(0, 60));
  }
  const images = [...document.querySelectorAll('img')];
  for (const i of images) {
    const alt = (i.getAttribute('alt') || '').trim();
    if (!alt) problems.push('image without alt: ' + i.getAttribute('src'));
    else if (/_images\/|\.(svg|png|jpe?g)$/.test(alt)) problems.push('image whose alt is a path: ' + alt);
    if (i.complete && !i.naturalWidth) problems.push('image not loaded: ' + i.getAttribute('src'));
  }
  return {problems: [...new Set(problems)], formulas: formulas.length, images: images.length};
}"""

# What is wider than the place it has.
WIDTH = r"""() => {
  const problems = [], root = document.documentElement;
  const article = document.querySelector('article') || document.body;
  const style = getComputedStyle(article), box = article.getBoundingClientRect();
  const left = box.left + parseFloat(style.paddingLeft), right = box.right - parseFloat(style.paddingRight);
  const what = e => (e.id ? '#' + e.id : e.className && e.className.baseVal === undefined && e.className || e.tagName.toLowerCase())
      + ' "' + (e.textContent || e.alt || '').trim().replace(/\s+/g, ' ').slice(0, 40) + '"';
  const past = r => Math.round(Math.max(r.right - right, left - r.left));
  if (root.scrollWidth > root.clientWidth) {
    problems.push(`the page is ${root.scrollWidth} px wide in ${root.clientWidth}`);
    for (const e of article.querySelectorAll('*'))
      if (e.getBoundingClientRect().right > root.clientWidth + 1 && !e.children.length) { problems.push('past the edge: ' + what(e)); break; }
  }
  for (const e of article.querySelectorAll('table, img, svg, figure, mjx-math')) {
    if (e.closest('mjx-assistive-mml') || e.parentElement.closest('svg, button, .headerlink')) continue;
    const r = e.getBoundingClientRect();
    if (r.width && past(r) > 1) {
      const name = e.tagName === 'MJX-MATH' ? 'formula' : e.tagName.toLowerCase();
      const near = e.closest('section[id]');
      problems.push(`${name} ${past(r)} px too wide${near ? ' in #' + near.id : ''}: ` + what(name === 'formula' ? e.closest('.math') || e : e));
    }
  }
  return problems;
}"""

CODE = r"""() => [...document.querySelectorAll('article pre')].filter(p => p.scrollWidth > p.clientWidth + 1)
  .map(p => 'code scrolls sideways: ' + p.textContent.trim().split('\n').reduce((a, b) => b.length > a.length ? b : a).slice(0, 80))"""


def look(browser, base: str, name: str) -> Seen:
    """Open a page of the site and return what a reader would meet there."""
    seen, outside = Seen(), []
    context = browser.new_context(viewport={"width": DESK, "height": 900})
    try:
        context.route(lambda url: not url.startswith((base, "data:", "blob:")),
                      lambda route: (outside.append(route.request.url), route.abort()))
        tab = context.new_page()
        said = seen.problems.append
        tab.on("console", lambda m: m.type == "error" and said(f"console: {m.text[:120]}"))
        tab.on("pageerror", lambda e: said(f"script error: {str(e)[:120]}"))
        tab.on("response", lambda r: r.status >= 400 and said(f"{r.status} for {r.url.removeprefix(base)}"))
        open_page(tab, urljoin(base, name))
        content = tab.evaluate(CONTENT)
        seen.formulas, seen.images = content["formulas"], content["images"]
        seen.problems += content["problems"] + [f"{p} (at {DESK} px)" for p in tab.evaluate(CODE) + tab.evaluate(WIDTH)]
        tab.set_viewport_size({"width": PHONE, "height": 844})
        tab.wait_for_timeout(100)
        seen.problems += [f"{p} (at {PHONE} px)" for p in tab.evaluate(WIDTH)]
    finally:
        context.close()
    seen.problems += [f"asks another site: {url}" for url in outside]
    return seen
