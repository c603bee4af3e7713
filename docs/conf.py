"""Sphinx builds the pages: `make docs`.

The source folder is the repository's root, so that README.md, RESULTS.md and the pages here are one
site, with the links that they have where the repository is browsed.
"""

import inspect
import re

from sphinx.domains.python import PyXRefRole

from train import native_messages

with native_messages.suppressed():
    import keras_bnact

project = "keras_bnact"
version = release = keras_bnact.__version__
html_title = f"keras_bnact {version}"
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "analysis/README.md",
    "benchmarks/README.md",
    "docs/**.md",
]
# Not even looked into.
exclude_patterns = [".*", "build", "dist", "docs/build", "runs", "**/__pycache__"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
# Headings down to this level are what links lead to, under the names that GitHub gives them.
myst_heading_anchors = 4

html_theme = "furo"
# A page at the site's root that leads to docs/index.html.
html_extra_path = ["redirect"]
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_copy_source = False
pygments_style = "friendly"
# Of blocks that do not name theirs: commands, and what they print.
highlight_language = "none"
html_theme_options = {"navigation_with_keys": True}
copyright = "the authors of keras_bnact, Apache License 2.0"
html_show_sphinx = False

# Of the docstrings: Keras' sections, and what is in single backticks.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Attributes", "params_style"),
    ("Call arguments", "params_style"),
    ("Reference", "notes_style"),
]
default_role = "name"


class Name(PyXRefRole):
    """Code; and a link, where it is a name of the library's in full."""

    def process_link(self, env, refnode, has_explicit_title, title, target):
        known = target.startswith("keras_bnact.")
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        return title, target if known else "\0"


TABLE = re.compile(r"^( *)\|.*\n(?:\1\|.*\n?)+", re.MULTILINE)


# As in "`BoundedBlock`s", where reStructuredText wants an end of the word.
CODE = re.compile(r"(`[^`]+`)(\w?)")


def from_markdown(app, what, name, obj, options, lines):
    """What docstrings have of Markdown: tables, which are Sphinx' `list-table`s, and plurals."""
    text = CODE.sub(lambda x: rf"{x[1]}\ {x[2]}" if x[2] else x[1], "\n".join(lines) + "\n")
    lines[:] = TABLE.sub(_list_table, text).split("\n")


def without_one_liners(app, what, name, obj, options, lines):
    """Of a module, one line says no more than the heading that stands before it."""
    if what == "module" and len([line for line in lines if line]) == 1:
        lines.clear()


def own_signature(app, what, name, obj, options, signature, return_annotation):
    """That of `__init__`, which Keras' layers hide behind a `__new__` of any arguments."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    _, *parameters = inspect.signature(obj.__init__).parameters.values()
    plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)), None


def _list_table(table):
    indent = table[1]
    rows = [re.split(r" *\| *", row.strip())[1:-1] for row in table[0].splitlines()]
    heading, _, *body = rows
    merged = [heading]
    for row in body:
        # A row whose first cell is empty goes on with the one before.
        if row[0] or merged[-1] is heading:
            merged.append(row)
        else:
            merged[-1] = [f"{a} {b}".strip() for a, b in zip(merged[-1], row, strict=True)]
    written = ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in merged:
        written += [f"   {'*' if n == 0 else ' '} - {cell}" for n, cell in enumerate(row)]
    return "".join(f"{indent}{line}".rstrip() + "\n" for line in [*written, ""])


def setup(app):
    app.add_role("name", Name())
    app.connect("autodoc-process-docstring", from_markdown, priority=400)
    app.connect("autodoc-process-docstring", without_one_liners)
    app.connect("autodoc-process-signature", own_signature)
