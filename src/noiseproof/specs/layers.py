"""Layers of a network in words: which are kept digital, and which a stage of noise is on. No torch
here.

>>> [str(one) for one in parse_digital("first, name:layer3.*")]
['first', 'name:layer3.*']
"""

import difflib
import fnmatch
import re
from collections.abc import Collection
from dataclasses import dataclass

from noiseproof.core.checks import one_of

FORM = "first, last, first:K, last:K, name:PATTERN or kind:KIND"
_RULES = ("first", "last", "name", "kind")
_CLOSE = 3  # names that a pattern without a layer is told


@dataclass(frozen=True, kw_only=True)
class Layers:
    """`first` and `last` K layers with kernels, in the order of a pass; all those whose name fits a
    pattern with the shell's wildcards; all of a `kind` (convolution, linear, attention ...)."""

    rule: str
    value: str

    def __post_init__(self) -> None:
        one_of("choice of layers", self.rule, _RULES)
        if self.is_counted and not re.fullmatch("[1-9][0-9]{0,5}", self.value):
            raise ValueError(f"{self.rule} layers must be a number >= 1, got {self.value!r}")
        if not re.fullmatch(r"[^\s,+()]+", self.value):
            raise ValueError(f"a choice of layers must be {FORM}, got {self.rule}:{self.value}")

    def __str__(self) -> str:
        return self.rule if (self.is_counted and self.value == "1") else f"{self.rule}:{self.value}"

    @property
    def is_counted(self) -> bool:
        """Does it count layers, where the others ask what each one is?"""
        return self.rule in ("first", "last")

    def fits(self, *, kind: str, names: Collection[str]) -> bool:
        """Is a layer of this kind, with one of these names, among them? Of those not counted."""
        if self.rule == "kind":
            return kind == self.value
        return any(fnmatch.fnmatchcase(name, self.value) for name in names)

    def is_within(self, place: int, layers: int) -> bool:
        """Is number `place` of so many layers among those counted?"""
        k = int(self.value)
        return place < k if self.rule == "first" else place >= layers - k

    def nothing(self, *, names: Collection[str], kinds: Collection[str]) -> ValueError:
        """What is wrong where a network with layers of these names and kinds has none of them."""
        if self.rule == "kind":
            return ValueError(
                f"kind:{self.value} is no layer of this network: it has {', '.join(sorted(kinds))}"
            )
        blocks = {f"{name.rpartition('.')[0]}.*" for name in names if "." in name}
        tops = {f"{name.partition('.')[0]}.*" for name in names if "." in name}
        known = sorted({*names, *blocks, *tops})
        close = difflib.get_close_matches(self.value, known, n=_CLOSE, cutoff=0.3)
        listed = ", ".join(close or known[:_CLOSE]) or "nothing"
        return ValueError(f"name:{self.value} is no layer of this network: close is {listed}")


def parse_layers(text: str) -> Layers:
    """The layers that `text` writes.

    Raises:
        ValueError: for any other text.
    """
    rule, colon, value = text.strip().partition(":")
    if rule not in _RULES or (rule in ("name", "kind") and not value) or (colon and not value):
        raise ValueError(f"a choice of layers must be {FORM}, got {text.strip()!r}")
    return Layers(rule=rule, value=value or "1")


def parse_digital(text: str) -> tuple[Layers, ...]:
    """Comma-separated choices of layers, each once, in the order of their texts; none for "".

    Raises:
        ValueError: for anything else.
    """
    if not text.strip():
        return ()
    found = {parse_layers(part) for part in text.split(",")}
    return tuple(sorted(found, key=str))


def digital_text(digital: Collection[Layers]) -> str:
    """`parse_digital` the other way round."""
    return ",".join(str(one) for one in digital)
