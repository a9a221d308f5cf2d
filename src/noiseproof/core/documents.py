"""Files that people write (TOML): read, checked by pydantic, each mistake one line in the words of
the file. Nothing that they name is opened or run."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def read_document(path: str | Path, kind: str, model: type[M]) -> M:
    """The TOML file `path`, a file of this `kind` ("study"), as its `model`.

    Raises:
        ValueError: in one line: the key, the rule and the value of the first mistake.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read the {kind} {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the {kind} {file} is not UTF-8 text") from None
    return parse_document(text, kind, str(file), model)


def parse_document(text: str, kind: str, name: str, model: type[M]) -> M:
    """The TOML `text` of the file `name` as its `model`.

    Raises:
        ValueError: as `read_document`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # or numbers and depths beyond reason
        raise ValueError(f"the {kind} {name} is not TOML: {error}") from None
    return validated(document, name, model)


def validated(document: dict[str, Any], name: str, model: type[M]) -> M:
    """The `document` of the file `name` (or of what will be one) as its `model`.

    Raises:
        ValueError: as `read_document`.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ValueError(f"{name}: {sentence(error, document)}") from None


def sentence(error: ValidationError, document: dict[str, Any]) -> str:
    """The first mistake: its key, the rule, the value."""
    found = error.errors(include_url=False)
    keys = [_key(one["loc"], one["type"], document) for one in found]
    first = found[0]
    rule = RULES.get(first["type"], first["msg"].removeprefix("Value error, "))
    rule = rule.format(**first.get("ctx", {})) if first["type"] in RULES else rule
    shown = repr(first["input"])
    is_said = "got " in rule or (first["type"] not in RULES and shown in rule)
    if not is_said and first["type"] not in ("missing", "union_tag_invalid"):
        rule += f", got {shown if len(shown) < 60 else shown[:57] + '...'}"
    others = {key for key in keys if not keys[0].startswith(key)}
    more = f" (and {len(others)} more)" if others else ""
    return f"{keys[0]}: {rule[:1].lower()}{rule[1:]}{more}"


RULES = {
    "missing": "this key is required",
    "extra_forbidden": "there is no such key",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_type": "must be a text in quotes",
    "string_pattern_mismatch": "must be of small letters, digits, '.', '_' and '-'",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "too_short": "must have {min_length} or more",
    "too_long": "must have {max_length} or fewer",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "finite_number": "must be a finite number",
    "union_tag_invalid": "unknown {discriminator} '{tag}': expected one of {expected_tags}",
    "union_tag_not_found": "{discriminator} is missing",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
}


def _key(loc: tuple[int | str, ...], kind: str, document: Any) -> str:
    """`profiles.quick.trainings[1].lr`, as the file writes it: what pydantic adds to say which of
    several types it tried is left out."""
    text, here = "", document
    for place, part in enumerate(loc):
        is_missing = kind == "missing" and place == len(loc) - 1
        if isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
            text += f"[{part}]"
        elif isinstance(here, dict) and (part in here or is_missing):
            here = here.get(part)
            text += f".{part}"
    return text.removeprefix(".") or "the file"
