"""A Sphinx extension: puts the explorer of a loss on its page, and its scripts on that page only.

What an explorer is, `lossbook.pages.explorers` says. It goes before the picture on the page's first
screen, or at the end of the section that it names. The picture stays where there is no JavaScript.
"""

from docutils import nodes
from sphinx.util import logging

log = logging.getLogger(__name__)


def of_page(docname):
    """The name of the explorer that stands on a page, or None."""
    from lossbook.pages.explorers import EXPLORERS    # here, because it loads SymPy

    return next((name for name, explorer in EXPLORERS.items() if explorer.page == docname), None)


def insert(app, doctree, docname) -> None:
    """Put the explorer on the first screen, or at the end of its section."""
    name = of_page(docname) if app.builder.format == "html" else None
    if name is None:
        return
    from lossbook.pages.explorers import EXPLORERS, html

    for raw in doctree.findall(nodes.raw):
        before, place, picture = raw.astext().partition("<div class='lb-picture'>\n")
        if place:
            text = f"{before}{place}{html(name)}{picture}"
            raw.replace_self(nodes.raw("", text, format="html"))
            return
    heading = EXPLORERS[name].section
    for section in doctree.findall(nodes.section):
        if section[0].astext() == heading:
            section += nodes.raw("", html(name), format="html")
            return
    log.warning("no section %r for the explorer of %s", heading, name, location=docname)


def load(app, pagename, templatename, context, doctree) -> None:
    """Name the scripts in the head of a page that has an explorer."""
    name = of_page(pagename) if doctree is not None else None
    if name is None:
        return
    from lossbook.pages.explorers import EXPLORERS

    app.add_css_file("explorer.css")
    for script in EXPLORERS[name].scripts:
        app.add_js_file(script, loading_method="defer")


def setup(app):
    app.connect("doctree-resolved", insert)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
