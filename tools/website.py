"""The built site as a browser shows it. tests/test_site.py and tools/screenshot.py use this.

Nothing here needs a network: the site is served on 127.0.0.1 and every other request is refused,
and told.
"""

import functools
import gzip
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

DESK = 1200
WIDTHS = 390, 768, 1440             # phone, tablet, desk
WIDER = 1.06                        # a reader's fonts may be wider than ours by so much
MOST_HTML = 300_000                 # bytes of a page as it lies on the disk
MOST_FIRST = 700_000                # bytes of a first view as they travel, compressed
MOST_FURTHER = 150_000              # and of a further page, when the browser has what pages share
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


# -------------------------------------------------------------------------------- without a browser

class Document(HTMLParser):
    """The anchors of a page and the links out of it."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.refresh = self.description = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[k] for k in ("id", "name") if given.get(k)}
        self.links += [given[k] for k in ("href", "src", "srcset") if given.get(k)]
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.refresh = re.sub(r"(?i)^.*?url=", "", given.get("content", ""))
            self.links.append(self.refresh)
        if tag == "meta" and given.get("name") == "description":
            self.description = given["content"]


@functools.cache
def document(path: Path) -> Document:
    return Document(path.read_text(encoding="utf-8"))


def pages(site: Path) -> list[Path]:
    """Every page of the site. What lies in folders such as _static are pieces of the theme."""
    return sorted(p for p in site.rglob("*.html")
                  if not any(part.startswith("_") for part in p.relative_to(site).parts))


def target(page: Path, link: str) -> Path:
    """The file that a relative link of a page leads to."""
    address = unquote(re.split("[?#]", link)[0])
    return Path(os.path.normpath(page.parent / address)) if address else page


def broken_links(page: Path, site: Path) -> list[str]:
    """The links of a page to files or anchors of the site that are not there."""
    broken = []
    for link in document(page).links:
        if re.match(r"(?i)[a-z][a-z0-9+.-]*:|//", link):
            continue
        address, anchor = urldefrag(link)
        file = target(page, address)
        if not file.is_file() or not file.is_relative_to(site):
            broken.append(f"{link}: no such file")
        elif anchor and file.suffix == ".html" and unquote(anchor) not in document(file).anchors:
            broken.append(f"{link}: no such anchor")
    return broken


# ----------------------------------------------------------------------------------- with a browser

def find_browser() -> str | None:
    """The browser to use: LOSSBOOK_BROWSER, one on the path, or Chrome as macOS has it."""
    if chosen := os.environ.get("LOSSBOOK_BROWSER"):
        return chosen
    return next(filter(None, map(shutil.which, NAMES)), MAC if Path(MAC).is_file() else None)


@contextmanager
def served(folder: Path, missing: str | None = None) -> Iterator[str]:
    """The address under which `folder` is served while the block runs.

    missing : the page to serve, with status 404, in place of one that is not there, as web servers
    do
    """

    class Quiet(http.server.SimpleHTTPRequestHandler):
        if missing:
            error_message_format = (folder / missing).read_text(encoding="utf-8").replace("%", "%%")

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
    """What a page showed: what is wrong with it, what it loaded, and a line of what was counted."""

    problems: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)       # files of the site
    formulas: int = 0
    images: int = 0
    controls: int = 0

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problems" if self.problems else "ok"
        return (f"{self.formulas:4} formulas {self.images:3} images {self.controls:4} controls  "
                f"{verdict}")


def open_page(tab, address: str, unfold: bool = True) -> None:
    """Open a page and wait until its formulas stand and its collapsed parts are open."""
    tab.goto(address, wait_until="load")
    tab.evaluate("async () => { if (window.MathJax && MathJax.startup) "
                 "await MathJax.startup.promise; await document.fonts.ready; }")
    if unfold:
        tab.evaluate(UNFOLD)


UNFOLD = """() => {
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'));
}"""

DESKTOP, PHONE = (1300, 900), (390, 844)    # the windows of a first screen
MOST_OPEN = 0.2                     # of a page's height may be code that stands open
LEAST_SEEN = 200                    # pixels of the picture that a first screen shows

# What a reader sees before scrolling, and how much of the page is code that stands open.
OPENING = r"""() => {
  const article = document.querySelector('article');
  const box = query => article.querySelector(query)?.getBoundingClientRect();
  const height = e => e.checkVisibility() && !e.closest('details:not([open])')
    ? e.getBoundingClientRect().height : 0;
  const code = [...article.querySelectorAll('.cell_input')]
    .filter(e => !e.closest('details')).reduce((sum, e) => sum + height(e), 0);
  const picture = box('.lb-picture'), facts = box('.lb-facts'), title = box('h1');
  const told = box('h1 ~ p');
  return {
    share: code / article.getBoundingClientRect().height,
    words: title && told ? Math.max(title.bottom, told.bottom) : null,
    seen: picture ? Math.min(picture.bottom, innerHeight) - picture.top : 0,
    beside: picture && facts ? facts.left >= picture.right && facts.top < picture.bottom : null,
    below: picture && facts ? facts.top >= picture.bottom : null,
  };
}"""


def opening(tab, address: str) -> list[str]:
    """What is wrong with the first screen of a loss, on a desk and in a hand, as it is folded."""
    problems = []
    for (width, height), place in ((DESKTOP, "beside"), (PHONE, "below")):
        tab.set_viewport_size({"width": width, "height": height})
        open_page(tab, address, unfold=False)
        seen, at = tab.evaluate(OPENING), f"(at {width} px)"
        if seen["words"] is None or seen["words"] > height:
            problems.append(f"title and first words are not on the first screen {at}")
        if seen["seen"] < LEAST_SEEN:
            problems.append(f"{seen['seen']:.0f} px of the picture on the first screen, at least "
                            f"{LEAST_SEEN} {at}")
        if not seen[place]:
            problems.append(f"the card is not {place} the picture {at}")
    return problems


def open_code(tab, address: str) -> float:
    """The share of a page's height on a desk that is code which stands open."""
    tab.set_viewport_size(dict(zip(("width", "height"), DESKTOP)))
    open_page(tab, address, unfold=False)
    return tab.evaluate(OPENING)["share"]


# How many formulas, which errors, which images without words.
CONTENT = r"""() => {
  const problems = [];
  const article = document.querySelector('article') || document.body;
  const formulas = [...article.querySelectorAll('.math')].filter(e => !e.querySelector('.math'));
  for (const f of formulas)
    if (!f.querySelector('mjx-container'))
      problems.push('formula not rendered: ' + f.textContent.trim().slice(0, 60));
  const rendered = article.querySelectorAll('mjx-container').length;
  if (rendered < formulas.length)
    problems.push(`${formulas.length} formulas, ${rendered} rendered`);
  for (const e of article.querySelectorAll('mjx-merror, [data-mjx-error]'))
    problems.push('formula with an error: '
      + (e.getAttribute('data-mjx-error') || e.textContent).trim().slice(0, 80));
  for (const e of article.querySelectorAll('mjx-utext'))
    problems.push(`formula with a sign that MathJax's fonts lack, ${e.textContent}: `
      + e.closest('mjx-math').textContent.slice(0, 60));
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
    else if (/_images\/|\.(svg|png|jpe?g)$/.test(alt))
      problems.push('image whose alt is a path: ' + alt);
    if (i.complete && !i.naturalWidth) problems.push('image not loaded: ' + i.getAttribute('src'));
  }
  return {problems: [...new Set(problems)], formulas: formulas.length, images: images.length};
}"""

# What is wider than the place it has.
WIDTH = r"""() => {
  const problems = [], root = document.documentElement;
  const article = document.querySelector('article') || document.body;
  const style = getComputedStyle(article), box = article.getBoundingClientRect();
  const left = box.left + parseFloat(style.paddingLeft);
  const right = box.right - parseFloat(style.paddingRight);
  const named = e => e.id ? '#' + e.id
    : e.className && e.className.baseVal === undefined && e.className || e.tagName.toLowerCase();
  const text = e => (e.textContent || e.alt || '').trim().replace(/\s+/g, ' ').slice(0, 40);
  const what = e => `${named(e)} "${text(e)}"`;
  const past = r => Math.round(Math.max(r.right - right, left - r.left));
  if (root.scrollWidth > root.clientWidth) {
    problems.push(`the page is ${root.scrollWidth} px wide in ${root.clientWidth}`);
    for (const e of article.querySelectorAll('*'))
      if (e.getBoundingClientRect().right > root.clientWidth + 1 && !e.children.length) {
        problems.push('past the edge: ' + what(e));
        break;
      }
  }
  for (const e of article.querySelectorAll('table, img, svg, figure, mjx-math')) {
    if (e.closest('mjx-assistive-mml')) continue;
    if (e.parentElement.closest('svg, button, .headerlink')) continue;
    const r = e.getBoundingClientRect();
    if (r.width && past(r) > 1) {
      const name = e.tagName === 'MJX-MATH' ? 'formula' : e.tagName.toLowerCase();
      const near = e.closest('section[id]');
      problems.push(`${name} ${past(r)} px too wide${near ? ' in #' + near.id : ''}: `
        + what(name === 'formula' ? e.closest('.math') || e : e));
    }
  }
  for (const t of article.querySelectorAll('svg text')) {
    const r = t.getBoundingClientRect(), svg = t.ownerSVGElement.getBoundingClientRect();
    const cut = Math.round(Math.max(svg.left - r.left, r.right - svg.right,
                                    svg.top - r.top, r.bottom - svg.bottom));
    if (r.width && cut > 1) problems.push(`words of a figure cut off by ${cut} px: ` + what(t));
  }
  return problems;
}"""

CODE = r"""() => [...document.querySelectorAll('article pre')]
  .filter(p => p.scrollWidth > p.clientWidth + 1)
  .map(p => p.textContent.trim().split('\n').reduce((a, b) => b.length > a.length ? b : a))
  .map(longest => 'code scrolls sideways: ' + longest.slice(0, 80))"""


# All text in letters of this share of their width, formulas too. What has a width of its own keeps
# it: each letter gets its size, and not the root, from which the theme takes its widths. Asked anew
# for each width of the window, which has sizes of its own.
LETTERS = r"""(share) => {
  const all = [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('mjx-container *, script, style'));
  for (const e of all) e.style.fontSize = e.givenSize ??= e.style.fontSize;
  if (share === 1) return;
  const sizes = all.map(e => share * parseFloat(getComputedStyle(e).fontSize));
  all.forEach((e, i) => e.style.setProperty('font-size', `${sizes[i]}px`, 'important'));
}"""

# What a hand on the keyboard cannot reach, or reaches without seeing where it is. Controls of one
# kind show their focus alike, so one of each kind gets it.
KEYBOARD = r"""() => {
  const says = e => (e.textContent || e.ariaLabel || e.title || '').trim().replace(/\s+/g, ' ');
  const what = e => `${e.tagName.toLowerCase()}${e.id && '#' + e.id} "${says(e).slice(0, 40)}"`;
  const look = e => {
    const s = getComputedStyle(e);
    return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.borderColor, s.backgroundColor].join();
  };
  const controls = 'a[href], button, input, select, textarea, summary, [tabindex], [role=button], '
    + '[onclick]';
  const all = [...document.querySelectorAll(controls)]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled
                 && !e.closest('mjx-container') && e.getBoundingClientRect().width);
  const problems = [], kinds = new Set();
  for (const e of all) {
    if (e.tabIndex < 0 && e.matches('a, button, input, select, textarea, summary'))
      problems.push('not reached by keyboard: ' + what(e));
    const kind = e.tagName + e.type + e.className;
    if (kinds.has(kind)) continue;
    kinds.add(kind);
    const before = look(e);
    e.focus({preventScroll: true, focusVisible: true});
    if (document.activeElement !== e) problems.push('not reached by keyboard: ' + what(e));
    else if (look(e) === before) problems.push('focus not seen: ' + what(e));
    e.blur();
  }
  const pressed = e => getComputedStyle(e).cursor === 'pointer';
  const inside = 'a[href], button, input, select, summary, label, mjx-container';
  for (const e of document.querySelectorAll('body *'))
    if (pressed(e) && !pressed(e.parentElement) && e.checkVisibility() && e.tabIndex < 0
        && !e.closest(inside) && !e.querySelector('button'))
      problems.push('for the mouse only: ' + what(e));
  return {problems, controls: all.length};
}"""

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

# What axe-core finds. It takes seconds for a page as it is. So first the formulas go, which MathJax
# makes accessible, and of the code what only repeats; and contrast, the slow rule, is looked at
# once for each way in which text is drawn. This is the last that is done with a page.
AXE = r"""async (levels) => {
  const run = async (where, options) =>
    (await axe.run(where, {...options, resultTypes: ['violations'], preload: false})).violations
      .flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 80)} (${why(n).slice(0, 120)})`));
  const why = n => n.any.concat(n.all, n.none).map(c => c.message).join(' ');
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\)$/.test(c)) return c;
    }
  };
  const drawn = e => {
    const s = getComputedStyle(e);
    return [s.color, ground(e), s.fontSize, s.fontWeight].join();
  };
  const written = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
    && e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 1;
  document.querySelectorAll('mjx-container').forEach(e => e.remove());
  const root = document.documentElement, seen = new Set();
  for (const span of document.querySelectorAll('pre span[class]'))
    if (seen.has(span.className)) span.remove(); else seen.add(span.className);
  const found = await run(document, {runOnly: levels, rules: {'color-contrast': {enabled: false}}});
  for (const theme of ['light', 'dark']) {
    root.dataset.theme = theme;
    const kinds = new Map();
    for (const e of document.body.querySelectorAll('*'))
      if (written(e)) kinds.set(drawn(e), e);
    if (!kinds.size) continue;
    const faint = await run({include: [...kinds.values()]}, {runOnly: ['color-contrast']});
    found.push(...faint.map(p => `in ${theme}: ${p}`));
  }
  root.dataset.theme = 'light';
  return found;
}"""


@functools.cache
def axe() -> str:
    """The source of axe-core, which a package brings."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def accessible(tab) -> list[str]:
    """What axe-core finds of level A and AA, in light and in dark: only colours differ."""
    tab.evaluate(axe())
    return tab.evaluate(AXE, LEVELS)


@functools.cache
def compressed(file: Path) -> int:
    """How many bytes of a file travel."""
    data = file.read_bytes()
    return len(data) if file.suffix.startswith(".woff") else len(gzip.compress(data))


def weight(site: Path, loaded: set[str]) -> int:
    return sum(compressed(site / name) for name in loaded if (site / name).is_file())


def loaded(browser, base: str, name: str) -> set[str]:
    """The files of the site that a page loads."""
    tab, files = browser.new_page(), set()
    tab.on("request",
           lambda request: files.add(unquote(request.url.removeprefix(base).partition("?")[0])))
    open_page(tab, base + name)
    tab.close()
    return files


@functools.cache
def reader(browser):
    """Where pages are looked at: what they share is loaded and compiled once."""
    return browser.new_context(color_scheme="light", reduced_motion="reduce").new_page()


def look(browser, base: str, name: str) -> Seen:
    """Open a page of the site and return what a reader would meet there."""
    seen, outside = Seen(), set()

    def requested(request):
        if request.url.startswith(base):
            seen.loaded.add(unquote(request.url.removeprefix(base).partition("?")[0]))
        elif not request.url.startswith(("data:", "blob:")):
            outside.add(request.url)

    tab, said = reader(browser), seen.problems.append
    heard = {
        "console": lambda m: (m.type == "error" and m.location["url"] not in outside
                              and said(f"console: {m.text[:120]}")),
        "pageerror": lambda e: said(f"script error: {str(e)[:120]}"),
        "request": requested,
        "response": lambda r: (r.status >= 400
                               and said(f"{r.status} for {r.url.removeprefix(base)}")),
    }
    for event, listener in heard.items():
        tab.on(event, listener)
    try:
        tab.set_viewport_size({"width": DESK, "height": 900})
        open_page(tab, urljoin(base, name))
        content, keys = tab.evaluate(CONTENT), tab.evaluate(KEYBOARD)
        seen.formulas, seen.images = content["formulas"], content["images"]
        seen.controls = keys["controls"]
        seen.problems += [*content["problems"], *keys["problems"]]
        for width in (DESK, *WIDTHS):
            seen.problems += too_wide(tab, width, CODE if width == DESK else WIDTH)
        seen.problems += accessible(tab)
    finally:
        tab.goto("about:blank")     # what it still says belongs to this page
        for event, listener in heard.items():
            tab.remove_listener(event, listener)
    seen.problems += [f"asks another site: {url}" for url in outside]
    return seen


def too_wide(tab, width: int, check: str) -> list[str]:
    """What lacks room in a window of this width: as the page is, and with wider letters."""
    tab.set_viewport_size({"width": width, "height": 900})
    tab.wait_for_timeout(50)
    problems = [f"{p} (at {width} px)" for p in tab.evaluate(check)]
    tab.evaluate(LETTERS, WIDER)
    problems += [f"{p} (at {width} px, text {WIDER - 1:.0%} wider)" for p in tab.evaluate(check)]
    tab.evaluate(LETTERS, 1)
    return problems


def fonts(tab, selector: str) -> set[str]:
    """The families that a browser has drawn the text of the first such element with."""
    inspector = tab.context.new_cdp_session(tab)
    for domain in "DOM", "CSS":
        inspector.send(f"{domain}.enable")
    page = inspector.send("DOM.getDocument")["root"]
    found = inspector.send("DOM.querySelector", {"nodeId": page["nodeId"], "selector": selector})
    drawn = inspector.send("CSS.getPlatformFontsForNode", found)
    return {font["familyName"] for font in drawn["fonts"]}


def search(tab, base: str, words: str) -> list[str]:
    """The titles that the site's search finds for some words, best first."""
    tab.goto(f"{base}search.html")
    tab.locator("main input[type=search]").fill(words)
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => document.querySelector('#search-results .search-summary')"
                          "?.textContent.match(/\\d/)")
    tab.wait_for_timeout(100)
    return tab.locator("#search-results ul.search > li > a").all_inner_texts()
