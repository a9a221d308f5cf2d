"""The one parser of text forms like `gaussian(0.1, reference=max) + quantize(6)`.

A text is terms joined by `+`, a term is a kind with its values in brackets, a value is a number or
a word, or a word with a number in brackets of its own (`range=fixed(10)`) where the form has such;
behind a term may stand what it is on, `@name:layer3.*`. Nothing is executed and nothing
recurses, so what comes out depends on the text alone and not on the stack that is left.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from noiseproof.core.checks import one_of

MOST_TOKENS = 200  # in one term: several times what a kind has
DEEPEST = 50  # brackets within brackets
_TOKEN = re.compile(
    r"""(?P<number>\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*)
      | (?P<name>[^\W\d]\w*)
      | (?P<behind>@[\w.*?\[\]!:-]+)
      | (?P<string>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<mark>\*\*|[-+*/%@.,:=<>|&^~()\[\]{}])""",
    re.VERBOSE,
)
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_TIME = r"[0-9][0-9.]*(e[+-]?[0-9]+)?(s|min|h|d|y)"  # a number with a unit of time is a word
_NOT_WORDS = ("True", "False", "None")


@dataclass(frozen=True)
class Token:
    """A piece of a text: what group of `_TOKEN` it is, and where it lies."""

    group: str
    text: str
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        return self.group == "name" and self.text not in _NOT_WORDS

    @property
    def ends_a_value(self) -> bool:
        """May only a mark come next?"""
        return self.group != "mark" or self.text in _BRACKETS.values()


@dataclass(frozen=True)
class Term:
    """Tokens that belong together, and the text that they are from; `str` is their part of it."""

    tokens: Sequence[Token]
    source: str

    def __str__(self) -> str:
        return self.source[self.tokens[0].start : self.tokens[-1].end]

    @property
    def name(self) -> str | None:
        """The name that the term is; None for anything else."""
        return self.tokens[0].text if len(self.tokens) == 1 and self.tokens[0].is_name else None

    @property
    def is_call(self) -> bool:
        """Is it a name, then one pair of brackets, and nothing after them?"""
        starts = len(self.tokens) > 2 and self.tokens[0].is_name and self.tokens[1].text == "("
        return starts and _closing(self.tokens, 1) == len(self.tokens) - 1


class Kind(Protocol):
    """A dataclass whose fields are the values in a term's brackets, but for those that their
    metadata says are `outside`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


K = TypeVar("K", bound=Kind)
Values = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Notation:
    """A text form, by the words that its mistakes are told in.

    `kind` is what its kinds are kinds of, `whole` what a text is, `form` what is expected of one,
    `value` what is expected of a value; at most `longest` characters are read. Without `words` a
    value is always a number; with `nested` it may be a word with a value in brackets too.
    """

    kind: str
    whole: str
    form: str
    value: str
    longest: int
    words: bool = True
    nested: bool = False

    def term(self, text: str) -> Term:
        """All of `text` as one term.

        Raises:
            ValueError: for a text that is too long, or in which no one could find terms.
        """
        return self._short(_unwrapped(Term(self._tokens(text), text)))

    def terms(self, text: str) -> list[Term]:
        """The terms of `text` from left to right, those within brackets too.

        Raises:
            ValueError: as `term`, and where `+` has nothing after it.
        """
        found = []
        waiting = [Term(self._tokens(text), text)]  # the leftmost one last
        while waiting:
            term = _unwrapped(waiting.pop())
            parts = _summands(term.tokens)
            if len(parts) == 1:
                found.append(self._short(term))
            elif not all(parts):
                raise self._unreadable(text)
            else:
                waiting.extend(Term(part, text) for part in reversed(parts))
        return found

    def read(self, term: Term, kinds: Mapping[str, type[K]]) -> K:
        """What `term` writes: one of `kinds`, made from the values in its brackets, of which the
        one for the first field may stand without its name.

        Raises:
            ValueError: naming the part that is not understood; and what the kind itself raises.
        """
        if term.name is not None:
            one_of(self.kind, term.name, kinds)
            raise ValueError(
                f"{self.kind} {term.name!r} needs its values in brackets, as in {term.name}(...)"
            )
        if not term.is_call:
            raise ValueError(f"cannot read {str(term)!r} in a {self.whole}: expected {self.form}")
        kind = term.tokens[0].text
        cls = kinds[one_of(self.kind, kind, kinds)]
        inside = [field for field in fields(cls) if not field.metadata.get("outside")]
        values = self._values(term, kind, [field.name for field in inside])
        for field in inside:
            if field.name not in values and field.default is MISSING:
                raise ValueError(f"{str(term)!r}: {field.name} is missing")
        return cls(**values)

    def number(self, term: Term) -> float | int:
        """The number that `term` is; nan and inf too, which a kind then refuses by name.

        Raises:
            ValueError: for anything else.
        """
        value = _value(term.tokens)
        if value is None or isinstance(value, str):
            raise ValueError(f"cannot read {str(term)!r} in a {self.whole}: expected {self.value}")
        return value

    def _values(self, term: Term, kind: str, names: Sequence[str]) -> Values:
        """The values in the brackets of `term`, by the names of their fields."""
        given = self._arguments(term)
        if sum(not name for name, _ in given) > 1:
            raise ValueError(f"{str(term)!r}: only {names[0]} may stand without its name")
        values: Values = {}
        for name, written in given:
            field = one_of(f"option of {kind}", name, names) if name else names[0]
            if field in values:
                raise ValueError(f"{str(term)!r}: {field} is given twice")
            word = _value(written.tokens) if self.words else None
            if self.nested and written.is_call and _value(written.tokens[2:-1]) is not None:
                word = "".join(token.text for token in written.tokens)
            values[field] = word if isinstance(word, str) else self.number(written)
        return values

    def _arguments(self, term: Term) -> list[tuple[str, Term]]:
        """What stands between the commas, each with its name: "" for none, which comes first."""
        pieces = _split(term.tokens[2:-1], ",")
        if not pieces[-1]:  # empty brackets, or a comma after the last value
            pieces.pop()
        found: list[tuple[str, Term]] = []
        for piece in pieces:
            name, value = "", piece
            if piece and piece[0].text == "**":
                name, value = "**", piece[1:]
            elif len(piece) > 1 and piece[0].is_name and piece[1].text == "=":
                name, value = piece[0].text, piece[2:]
            if not value or (found and found[-1][0] and not name):
                raise self._unreadable(term.source)
            found.append((name, _unwrapped(Term(value, term.source))))
        return found

    def _tokens(self, text: str) -> list[Token]:
        """The tokens of `text`: brackets are in pairs, and between two values there is a mark."""
        if len(text) > self.longest:
            raise ValueError(
                f"{self.whole} must be at most {self.longest} characters, got {len(text)}"
            )
        tokens: list[Token] = []
        open_ones: list[str] = []  # what would close each bracket that is open, the innermost last
        end = len(text.rstrip())
        place = end - len(text.strip())
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._unreadable(text)
            token = Token(str(found.lastgroup), found[0], found.start(), found.end())
            wrong = token.group != "mark" and bool(tokens) and tokens[-1].ends_a_value
            if token.group == "behind":  # a mark on the term before it
                wrong = not tokens or tokens[-1].text != ")"
            if token.text in _BRACKETS:
                open_ones.append(_BRACKETS[token.text])
            elif token.text in _BRACKETS.values():
                wrong = not open_ones or open_ones.pop() != token.text
            if wrong or len(open_ones) > DEEPEST:
                raise self._unreadable(text)
            tokens.append(token)
            place = found.end()
            while place < end and text[place].isspace():
                place += 1
        if open_ones or not tokens:
            raise self._unreadable(text)
        return tokens

    def _short(self, term: Term) -> Term:
        if len(term.tokens) > MOST_TOKENS:
            raise self._unreadable(term.source)
        return term

    def _unreadable(self, text: str) -> ValueError:
        return ValueError(f"cannot read {self.whole} {text!r}: expected {self.form}")


def _value(tokens: Sequence[Token]) -> float | int | str | None:
    """A number under any signs, or a word; None where the tokens are neither."""
    if _is_path(tokens):
        return "".join(token.text for token in tokens)
    *signs, last = tokens
    if any(sign.text not in ("+", "-") for sign in signs):
        return None
    if last.is_name and last.text not in ("nan", "inf"):
        return None if signs else last.text
    if last.group == "string":
        return None if signs else last.text[1:-1]
    if last.group == "mark" or last.text in _NOT_WORDS:
        return None
    if re.fullmatch(_TIME, last.text):
        return None if signs else last.text
    try:
        whole = re.fullmatch("[0-9_]+|0[xXoObB].*", last.text)
        number = int(last.text, 0) if whole else float(last.text)
    except ValueError:  # as in 1j, 0x or 1.2.3
        return None
    return -number if sum(sign.text == "-" for sign in signs) % 2 else number


def _is_path(tokens: Sequence[Token]) -> bool:
    """Are they names joined by dots and one colon, `package.module:name`, with no space between?"""
    joins = [token.text for token in tokens[1::2]]
    return (
        len(tokens) % 2 == 1
        and all(token.is_name for token in tokens[::2])
        and set(joins) <= {".", ":"}
        and joins.count(":") == 1
        and all(after.start == one.end for one, after in itertools.pairwise(tokens))
    )


def _summands(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The parts between those `+` that join two things: after a mark, `+` is a sign."""
    joins = [
        token.text == "+" and place > 0 and tokens[place - 1].ends_a_value
        for place, token in enumerate(tokens)
    ]
    return _parts(tokens, joins)


def _split(tokens: Sequence[Token], mark: str) -> list[Sequence[Token]]:
    return _parts(tokens, [token.text == mark for token in tokens])


def _parts(tokens: Sequence[Token], ends: Sequence[bool]) -> list[Sequence[Token]]:
    """`tokens` cut at each one that ends a part and lies in no brackets, and left out itself."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token, is_end in zip(tokens, ends, strict=True):
        depth += (token.text in _BRACKETS) - (token.text in _BRACKETS.values())
        if is_end and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return list(parts)


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The place of the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(tokens)):
        text = tokens[place].text
        depth += (text in _BRACKETS) - (text in _BRACKETS.values())
        if depth == 0:
            return place
    raise AssertionError("brackets are in pairs")


def _unwrapped(term: Term) -> Term:
    """`term` without round brackets around all of it."""
    tokens = term.tokens
    while len(tokens) > 2 and tokens[0].text == "(" and _closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return Term(tokens, term.source)
