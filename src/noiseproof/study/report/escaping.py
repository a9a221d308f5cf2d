"""Foreign text in Markdown: shown as it is, never read as Markdown or HTML."""

import html
import re
import unicodedata

# An underscore within a word means nothing, nor does a bracket that no link follows.
_MARKS = re.compile(r"([\\`*|~$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_]))")
_START = re.compile(r"^(\d{0,9})([#+\-=.)])(?=[\s#=-]|$)")  # of a heading or a list


def one_line(foreign: str) -> str:
    """The text without line breaks and control characters."""
    kept = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in foreign)
    return " ".join(kept.split())


def text(foreign: str) -> str:
    """The text, escaped, on one line: a paragraph or the rest of one."""
    return _START.sub(r"\1\\\2", cell(foreign))


def cell(foreign: str) -> str:
    """The text, escaped, on one line, where no block can begin: in a table."""
    return html.escape(_MARKS.sub(r"\\\1", one_line(foreign)), quote=False)


def sentence(foreign: str) -> str:
    """The text, escaped, with a full stop."""
    line = one_line(foreign)
    return text(line) + ("" if line.endswith((".", "!", "?")) else ".")


def code(foreign: str) -> str:
    """The text as code, on one line; for prose and for tables."""
    line = one_line(foreign)
    if line and not re.search(r"[`|]", line):
        return f"`{line}`"
    entities = {mark: f"&#{ord(mark)};" for mark in r"\`*_[]|~$"}
    return f"<code>{''.join(entities.get(one, one) for one in html.escape(line))}</code>"


def block(foreign: str) -> str:
    """The text as a block of code of its own, which no number of backticks ends early."""
    line = one_line(foreign)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{line}\n{fence}"
