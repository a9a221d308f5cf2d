"""What pydantic finds wrong with a study file, in one line and in the file's own words."""

from typing import Any

from pydantic import ValidationError


def sentence(error: ValidationError, document: dict[str, Any]) -> str:
    """The first mistake: its key, the rule, the value."""
    found = error.errors(include_url=False)
    keys = [_key(one["loc"], one["type"], document) for one in found]
    first = found[0]
    rule = RULES.get(first["type"], first["msg"].removeprefix("Value error, "))
    rule = rule.format(**first.get("ctx", {})) if first["type"] in RULES else rule
    shown = repr(first["input"])
    if "got " not in rule and first["type"] != "missing" and shown not in rule:
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
