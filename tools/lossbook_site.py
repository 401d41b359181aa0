"""A Sphinx extension: what the pages of the book get when the site is built.

- On a page about a loss: below its card the way to its cousins, to the reference and to torch; its
  names in the index and in the search. All of it comes from `lossbook.catalogue`.
- In the reference: what the modules of the package list, and from each loss to its page.
- In the head of each page: a description, its first paragraph.
- Of MathJax and of the icons only what a page can load.
"""

import html
import inspect
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from lossbook.catalogue import CATALOGUE, cousins

LOSSES = {row.page: name for name, row in CATALOGUE.items() if row.page}

# ------------------------------------------------------------------------------ names and relations


class Names(SphinxTransform):
    """The names of a loss as entries of the index, which the search reads, too."""

    default_priority = 700      # before the index collects its entries, at 850

    def apply(self, **_):
        name = LOSSES.get(self.env.docname)
        section = next(self.document.findall(nodes.section), None)
        if name is None or section is None:
            return
        entries = [("single", entry, section["ids"][0], "main", None) for entry in names(name)]
        section.insert(1, addnodes.index(entries=entries))


def names(name):
    """What a loss is called: its title, its class, its function, and what else."""
    row = CATALOGUE[name]
    return list(dict.fromkeys(filter(None, [row.title, name, row.functional, *row.aliases])))


class Relations(SphinxTransform):
    """A paragraph below the card of a loss: see also, and where the reference is."""

    default_priority = 700

    def apply(self, **_):
        name = LOSSES.get(self.env.docname)
        if name is None:
            return
        for raw in self.document.findall(nodes.raw):
            if "<table class='lb-card'" in raw.astext():
                cell = raw
                while not isinstance(cell.parent, nodes.section):
                    cell = cell.parent
                cell.parent.insert(cell.parent.index(cell) + 1, relations(name))
                return


def relations(name):
    """See also: …. Reference: …. Symbols: …."""
    row = CATALOGUE[name]
    relatives = [(CATALOGUE[cousin].title, CATALOGUE[cousin].page) for cousin in cousins(name)]
    groups = {
        "See also": [reference("std", "doc", f"/{page}", title) for title, page in relatives
                     if page],
        "Reference": [reference("py", "class", f"lossbook.{name}", f"lossbook.{name}",
                                nodes.literal)],
        "Symbols": [reference("std", "doc", "/book/notation", "Notation")],
    }
    if row.torch:
        twin = f"torch.nn.{row.torch}"
        groups["Reference"].append(reference("py", "class", twin, twin, nodes.literal))
    paragraph = nodes.paragraph(classes=["lb-relations"])
    for label, links in groups.items():
        if links:
            paragraph += nodes.strong(text=label)
            for before, link in zip([" ", *[", "] * len(links)], links):
                paragraph += [nodes.Text(before), link]
            paragraph += nodes.Text(". ")
    return paragraph


def reference(domain, role, target, text, kind=nodes.inline):
    """A link that Sphinx resolves, and that it complains of if it cannot."""
    link = addnodes.pending_xref(refdomain=domain, reftype=role, reftarget=target, refexplicit=True,
                                 refwarn=True)
    link += kind(text=text)
    return link


class Public(SphinxDirective):
    """`.. public:: regression margin`: the entries of the names in the modules' `__all__`."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        entries = []
        for module in self.arguments[0].split():
            listed = import_module(f"lossbook.{module}")
            for name in listed.__all__:
                kind = "class" if inspect.isclass(getattr(listed, name)) else "function"
                entries.append(f".. auto{kind}:: lossbook.{name}")
        box = nodes.container()
        self.state.nested_parse(StringList(entries, source=self.env.docname), 0, box)
        return box.children


def docstrings(app, what, name, thing, options, lines) -> None:
    """What the docstrings of the package leave to the site.

    Of two formulas on one line, which a phone does not hold, the second gets a line of its own. An
    argument without a description gets an empty one. At the end of a loss's docstring stands its
    page.
    """
    lines[:] = [re.sub(r",? *\\q?quad", r" \\\\", line) for line in lines]
    for i in range(len(lines) - 1, 0, -1):
        if re.match(r"\w[\w, ]* : ", lines[i - 1]) and not lines[i].startswith(" "):
            lines.insert(i, "    ..")
    row = CATALOGUE.get(name.removeprefix("lossbook."))
    if row is not None and row.page:
        lines += ["", f"The page: :doc:`/{row.page}`.", ""]


class Notebooks(SphinxTransform):
    """Links of HTML outputs to notebooks, which work in JupyterLab, lead to their pages."""

    default_priority = 700

    def apply(self, **_):
        for raw in list(self.document.findall(nodes.raw)):
            if ".ipynb" in raw.astext():
                text = re.sub(r"""(href=["'][^"':]+)\.ipynb""", r"\1.html", raw.astext())
                raw.replace_self(nodes.raw("", text, format=raw["format"]))


# -------------------------------------------------------------------------------- the HTML of pages

PROMISE = "Loss functions, each told as a page that cannot be wrong silently."


def describe(app, pagename, templatename, context, doctree) -> None:
    """The description of a page, for those who find it elsewhere."""
    text = html.escape(first_sentences(doctree) if doctree is not None else PROMISE)
    context["metatags"] = "\n".join((context.get("metatags", ""),
                                     f'<meta name="description" content="{text}" />'))


def first_sentences(doctree, longest=160) -> str:
    """The beginning of the first paragraph of the text, in whole words."""
    paragraphs = (p for p in doctree.findall(nodes.paragraph)
                  if isinstance(p.parent, nodes.section))
    text = " ".join(next(paragraphs, nodes.Text(PROMISE)).astext().split())
    if len(text) <= longest:
        return text
    sentences = text[:longest].rpartition(". ")[0]
    if len(sentences) > longest / 2:
        return f"{sentences}."
    return text[:longest].rpartition(" ")[0] + " …"


def roles(app, pagename, templatename, context, doctree) -> None:
    """docutils gives works cited a role that ARIA has withdrawn; in a list they are its items."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


# ------------------------------------------------------------------------- what pages need not load

KEEP = (
    "tex-chtml.js",
    "output/chtml/fonts/woff-v2",
    "input/tex/extensions",
    "a11y",
    "sre/mathmaps/en.json",
    "sre/mathmaps/base.json",
)


def trim(root: Path) -> None:
    """Delete every file under `root` that no entry of KEEP names, then the empty folders.

    `sphinx-mathjax-offline` copies all 24 MB of MathJax into the site. Kept are the component that
    the pages name, its fonts, the TeX extensions that it loads on demand, and what its menu loads
    for a screen reader.
    """
    keep = [root / entry for entry in KEEP]
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not any(path == k or k in path.parents for k in keep):
            path.unlink()


def used_icons(css: str, texts) -> set[int]:
    """The characters of the icons that pages name, and of those that the theme's CSS draws."""
    codes = {}
    for selectors, code in re.findall(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\([0-9a-f]+)"\}',
                                      css):
        codes |= dict.fromkeys(re.findall(r"\.(fa-[\w-]+)", selectors), int(code, 16))
    names = {name for text in texts for name in re.findall(r"\bfa-[\w-]+", text)}
    drawn = {ord(c) for c in "".join(re.findall(r"--pst-[\w-]+:(\"[^\"]*\")", css))
             if ord(c) > 0xE000}
    return {codes[name] for name in names & codes.keys()} | drawn | {0xF107}


def trim_icons(site: Path) -> None:
    """Leave in the theme's font the few icons that are used, and drop the script that draws 2,000.

    Without that script (book/_templates/layout.html does not load it) the icons come from the font.
    """
    import logging

    from fontTools import subset

    logging.getLogger("fontTools").setLevel(logging.ERROR)

    static = site / "_static"
    style = static / "styles" / "pydata-sphinx-theme.css"
    css = style.read_text(encoding="utf-8")
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    icons = used_icons(css, (page.read_text(encoding="utf-8") for page in site.rglob("*.html")))
    options = subset.Options(layout_features=[], notdef_outline=True)
    solid = subset.load_font(fonts / "fa-solid-900.ttf", options)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=icons)
    cut.subset(solid)
    subset.save_font(solid, fonts / "fa-solid-900.ttf", options)
    style.write_text(re.sub(r'url\([^)]*\.woff2\) format\("woff2"\),', "", css), encoding="utf-8")
    for file in [*fonts.glob("*.woff2"), *static.glob("scripts/fontawesome.js*")]:
        file.unlink()


def finished(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        trim(Path(app.outdir) / "_static" / "mathjax")
        trim_icons(Path(app.outdir))


def setup(app):
    for transform in Names, Relations, Notebooks:
        app.add_transform(transform)
    app.add_directive("public", Public)
    app.connect("autodoc-process-docstring", docstrings)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", roles)
    # 900: after sphinx-mathjax-offline's own handler, which runs at the default 500.
    app.connect("build-finished", finished, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
