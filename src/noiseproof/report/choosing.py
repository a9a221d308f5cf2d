"""Which curves are shown, and what they are called."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from noiseproof.report.looks import way_label
from noiseproof.report.words import name_parts, short_names
from noiseproof.results import Curve, Ranking, Role, Row, Trace, named, network_key, way_of
from noiseproof.specs import parse

Part = Curve | Trace | Ranking
FIELDS = (Role.NETWORK, Role.CONDITION, Role.REMEDY)


def chosen(found: Sequence[Part], only: Iterable[str]) -> list[Part]:
    """Those that fit: `PATTERN` is the whole of a field that names a curve, or its model and norm,
    or how the hash of its weights begins; * stands for anything; `FIELD=PATTERN` looks at that
    field alone. Patterns for one field, or for none, are alternatives; each such group has to fit.

    Raises:
        ValueError: for a pattern that fits none of them.
    """
    _check([one.first for one in found], only)
    groups: dict[str, list[str]] = {}
    for text in only:
        field, pattern = _parsed(text)
        groups.setdefault(field, []).append(pattern)
    return [
        one
        for one in found
        if all(
            any(_fits(one.first, field, pattern) for pattern in patterns)
            for field, patterns in groups.items()
        )
    ]


def _check(firsts: Sequence[Row], only: Iterable[str]) -> None:
    for text in only:
        if not any(_fits(row, *_parsed(text)) for row in firsts):
            there = dict.fromkeys(f"{row.model} {row.norm} {way_of(row)}" for row in firsts)
            raise ValueError(f"--only {text!r} fits nothing: there are {listing(there)}")


def _parsed(text: str) -> tuple[str, str]:
    field, equals, pattern = text.partition("=")
    return (field, pattern) if equals and field in Row.__dataclass_fields__ else ("", text)


def _fits(row: Row, field: str, pattern: str) -> bool:
    values = {name: str(value) for name, value in named(row, *FIELDS).items()}
    values["noise"] = parse(row.noise).family  # the levels of a curve belong together
    # Whole names rather than parts of them where no * says otherwise: resnet1 is not resnet14.
    words = [values.get(field, "")] if field else [*values.values(), f"{row.model} {row.norm}"]
    begins = len(pattern) >= 4 and any(w.startswith(pattern) for w in words if _is_hash(w))
    return begins or any(fnmatchcase(word, pattern) for word in words)


def _is_hash(word: str) -> bool:
    return re.fullmatch("[0-9a-f]{32,}", word) is not None


def own_names(
    clean: Iterable[Row],
    firsts: Iterable[Row],
    conditions: Iterable[str],
    labels: Mapping[str, str],
) -> dict[tuple[str, ...], str]:
    """The short names of networks with labels of one's own, for whole names and for parts of them.

    - `clean`: a row of each network.
    - `firsts`: a row of each line.
    - `conditions`: the titles of panels.
    - `labels`: what is given.

    Raises:
        ValueError: for a label of nothing that is shown.
    """
    rows = list(clean)
    names, own = short_names(rows), short_names(rows, labels)
    found = {network: labels.get(name, own[network]) for network, name in names.items()}
    parts = [text for one in name_parts(rows) for text in one.values()]
    known = dict.fromkeys([*names.values(), *conditions, *parts])
    for row in firsts:
        known |= dict.fromkeys([way_of(row), way_label(row, found[network_key(row)])])
    for name in labels:
        if name not in known:
            raise ValueError(f"--label {name!r} names nothing here: there are {listing(known)}")
    return found


def listing(names: Iterable[str]) -> str:
    """The first of many names."""
    found = [name for name in names if name]
    more = f" and {len(found) - 12} more" if len(found) > 12 else ""
    return ", ".join(repr(name) for name in found[:12]) + more


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """`NAME=TEXT`, parted at the first = that is in no brackets, since `blend(64, prior=0.5)` is a
    name.

    Raises:
        ValueError: for another form, and a name that is given two texts.
    """
    found: dict[str, str] = {}
    for given in texts:
        name, text = (part.strip() for part in _parted(given))
        if not name or not text:
            raise ValueError(f"--label must be NAME=TEXT, as batch='with BN', got {given!r}")
        if name in found:
            raise ValueError(f"--label gives {name!r} two texts: {found[name]!r} and {text!r}")
        found[name] = text
    return found


def _parted(given: str) -> tuple[str, str]:
    depth = 0
    for place, sign in enumerate(given):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "=" and depth == 0:
            return given[:place], given[place + 1 :]
    return "", ""
