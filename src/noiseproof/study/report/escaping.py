"""Foreign text in Markdown: shown as it is, never read as Markdown or HTML."""

import html
import re
import unicodedata

_MARKS = re.compile(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))")
_START = re.compile(r"^([#+\-=]|\d{1,9}(?=[.)]))")


def one_line(foreign: str) -> str:
    """The text without line breaks and control characters."""
    kept = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in foreign)
    return " ".join(kept.split())


def text(foreign: str) -> str:
    """The text, escaped, on one line; for prose and for tables."""
    escaped = _MARKS.sub(r"\\\1", one_line(foreign))
    return _START.sub(_not_at_start, html.escape(escaped, quote=False))


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


def _not_at_start(found: re.Match[str]) -> str:
    """A mark that would begin a heading or a list, made harmless."""
    mark = found[1]
    return f"{mark}&#8203;" if mark.isdigit() else f"\\{mark}"
