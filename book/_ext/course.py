"""What this course adds to Jupyter Book.

- The Colab and download buttons of a chapter give notebooks/NAME.ipynb, the notebook generated from it.
- No scripts that no page uses.
- One search box instead of two, and a description for every page.
- A link to the glossary from the first use of a term in a chapter.
"""

import re
import sys
from pathlib import Path
from shutil import copy2

from sphinx.util import logging

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

from glossary import Linker, defined, entries  # noqa: E402

logger = logging.getLogger(__name__)


def configure(app, config):
    """Set what _config.yml cannot: see the module's docstring."""
    config.html_theme_options.update(navbar_persistent=[])
    config.html_context["default_mode"] = "auto"


def retarget_buttons(app, pagename, templatename, context, doctree):
    """Point a chapter's Colab and download buttons at its generated notebook."""
    if not pagename.startswith("chapters/"):  # no notebook is made of it, so there is none to open
        groups = context.get("header_buttons", [])
        context["header_buttons"] = [group for group in groups if group.get("label") != "launch-buttons"]
        return
    notebook = Path(app.confdir, "notebooks", Path(pagename).name + ".ipynb")
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "colab" in button.get("url", ""):
                button["url"] = button["url"].replace(f"{pagename}.md", f"notebooks/{notebook.name}")
    if "ipynb_source" in context:  # the theme copied the executed MyST notebook there
        copy2(notebook, Path(app.outdir, "_sources", context["ipynb_source"]))


def drop_unused_scripts(app, pagename, templatename, context, doctree):
    """Leave out Thebe (declared twice, which is a script error) and widget state: no page here uses them."""
    unused = ("thebe", "widget-state")
    for kind in ("script_files", "css_files"):
        described = [(item, f"{item.filename} {item.attributes}".lower()) for item in context.get(kind, [])]
        context[kind] = [item for item, text in described if not any(word in text for word in unused)]


def require_description(app, pagename, templatename, context, doctree):
    """Warn about a page without a description, which search engines and link previews show."""
    if doctree is not None and 'name="description"' not in context.get("metatags", ""):
        logger.warning("no description: add html_meta to the front matter", location=pagename)


def link_terms(app, docname, source):
    """Link the first use of each term to the glossary, and the glossary to the sections that define the terms."""
    known = entries(Path(app.confdir, "book", "glossary.md"))
    chapters = [app.env.doc2path(name) for name in sorted(app.env.found_docs) if name.startswith("chapters/")]
    if docname.startswith("chapters/"):
        for heading in set(defined(known, source[0]).values()):
            source[0] = source[0].replace(f"\n{heading}\n", f"\n({label(docname, heading)})=\n{heading}\n", 1)
        source[0] = Linker(known)(source[0])
    elif docname == "book/glossary":
        for chapter in map(Path, chapters):
            for entry, heading in defined(known, chapter.read_text()).items():
                link = f"[{heading.lstrip('# ')}](#{label(f'chapters/{chapter.stem}', heading)})"
                source[0] = source[0].replace(f"\n  {entry.meaning}\n", f"\n  {entry.meaning} Defined in {link}.\n", 1)


def label(docname, heading):
    """The target that is put before a heading."""
    return "-".join(re.findall(r"\w+", f"{docname} {heading}".lower()))


def setup(app):
    app.add_css_file("course.css")
    app.connect("config-inited", configure, priority=100)
    app.connect("source-read", link_terms)
    app.connect("html-page-context", retarget_buttons, priority=900)
    app.connect("html-page-context", drop_unused_scripts, priority=900)
    app.connect("html-page-context", require_description, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
