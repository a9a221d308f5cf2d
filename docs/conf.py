"""The site of these pages: `make docs` builds it into build/docs, to be read without a network."""

import inspect
import re
from collections.abc import Sized
from functools import partial
from importlib import import_module
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import get_type_hints

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

from noiseproof import __version__

project = "noiseproof"
author = "The noiseproof developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
highlight_language = "text"  # blocks without a language are shell lines
default_role = "code"  # docstrings have code in single backticks

html_theme = "furo"
html_title = f"noiseproof {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
MEMBERS = (
    "   :members:",
    "   :inherited-members: object, BaseModel, Module",
    "   :exclude-members: model_config",
)
LONGEST_VALUE = 80  # of a constant
toc_object_entries_show_parents = "hide"

HIGHER = {"](CONTRIBUTING.md)": "](contributing.md)"}  # links of files that stand above this folder


class Face(SphinxDirective):
    """The public face of a package: what its `dir` says, each name from its real object.
    (automodule would look for them in the package's own source, which only says where they are.)"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = import_module(self.arguments[0])
        names = [name for name in dir(package) if not inspect.ismodule(getattr(package, name))]
        own = [name for name in names if home_of(package, name) == package.__name__]
        lines = [told_elsewhere(package, name) for name in names if name not in own]
        lines += ["", *(line for name in own for line in entry(package, name))]
        about = "" if package.__name__ == "noiseproof" else inspect.getdoc(package) or ""
        return self.parse_text_to_nodes("\n".join([about, "", "```{eval-rst}", *lines, "```"]))


def home_of(package: ModuleType, name: str) -> str:
    """The wing that a public name belongs to; others only pass it on."""
    module = getattr(getattr(package, name), "__module__", None) or package.__name__
    return ".".join(module.split(".")[:2]) if module.startswith("noiseproof.") else package.__name__


def told_elsewhere(package: ModuleType, name: str) -> str:
    """A line with a link to the page of the wing that the name belongs to."""
    about = inspect.getdoc(getattr(package, name)) or ""
    first = re.split(r"(?<=[.:])\s", about.replace("\n", " "))[0].rstrip(":")
    return f"* :py:obj:`~{home_of(package, name)}.{name}`: {restructured(first)}"


def entry(package: ModuleType, name: str) -> list[str]:
    """The directive, in reStructuredText, that documents a public name."""
    found, full = getattr(package, name), f"{package.__name__}.{name}"
    if inspect.isroutine(found):
        return [f".. autofunction:: {full}", ""]
    if isinstance(found, type) and not isinstance(found, GenericAlias):
        return [f".. autoclass:: {full}", *MEMBERS, ""]
    value = repr(found)
    size = f" of {len(found)}" if isinstance(found, Sized) else ""
    shown = value if len(value) <= LONGEST_VALUE else f"{type(found).__name__}{size}"
    return [f".. py:data:: {full}", f"   :value: {shown}", ""]


def restructured(line: str) -> str:
    """Docstrings are plain text with code in backticks: what else reStructuredText would take for
    markup is escaped."""
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = (re.sub(r"[\\*|]|_\b", lambda found: f"\\{found[0]}", part) for part in parts[::2])
    return "".join(parts)


Plain = dict[str, list[str]]


def docstring_read(
    plain: Plain,
    app: Sphinx,
    what: str,
    name: str,
    found: object,
    options: object,
    lines: list[str],
) -> None:
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else restructured(line) for line in lines
    ]
    plain[name] = list(lines)


def property_kept(
    plain: Plain,
    app: Sphinx,
    what: str,
    name: str,
    found: object,
    options: object,
    lines: list[str],
) -> None:
    """napoleon takes what stands before a colon for the type of a property."""
    if what in ("attribute", "property"):
        lines[:] = plain[name]


def signature_read(
    app: Sphinx, what: str, name: str, found: object, options: object, given: str, back: str
) -> tuple[str, str] | None:
    """The signature of a class without what only its checks need (the marks of `Annotated`), and
    without defaults that print as what no signature can be read from."""
    if what != "class" or not given or not re.search("Annotated|<factory>", given):
        return None
    whole, types = inspect.signature(found), get_type_hints(found)  # without what annotates them
    kept = [one.replace(annotation=types[name]) for name, one in whole.parameters.items()]
    whole = whole.replace(parameters=kept, return_annotation=inspect.Signature.empty)
    text = stringify_signature(whole, unqualified_typehints=True)
    return re.sub(r"= <\w+>", "= ...", text), back


def file_read(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    for old, new in HIGHER.items():
        content[0] = content[0].replace(old, new)


def setup(app: Sphinx) -> None:
    app.add_directive("face", Face)
    plain: Plain = {}  # napoleon is at 500
    app.connect("autodoc-process-docstring", partial(docstring_read, plain), priority=400)
    app.connect("autodoc-process-docstring", partial(property_kept, plain), priority=600)
    app.connect("autodoc-process-signature", signature_read)
    app.connect("include-read", file_read)
