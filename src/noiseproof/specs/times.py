"""Times since programming, in seconds, with one text form: `25s`, `10min`, `1h`, `30d`, `1y`."""

import re

_UNITS = {"y": 31_536_000.0, "d": 86_400.0, "h": 3_600.0, "min": 60.0, "s": 1.0}
"""In seconds, the largest first; a year has 365 days."""
LONGEST = 100 * _UNITS["y"]
PROGRAMMED = "programmed"
"""The time before any reading: programming alone. At `0s` the noise of a first reading is there."""
_TIME = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?)(s|min|h|d|y)")


def parse_time(text: object) -> float | None:
    """The seconds that `text` writes; None for `programmed`.

    Raises:
        ValueError: for a time without a unit, and one that is negative or above a hundred years.
    """
    if text == PROGRAMMED:
        return None
    found = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(
            f"a time must be a number >= 0 with its unit, as 25s, 10min, 1h, 30d or 1y, or "
            f"{PROGRAMMED}, got {text}"
        )
    return check_time(float(found[1]) * _UNITS[found[2]])


def check_time(seconds: float) -> float:
    """`seconds`, if devices can be that old; raises ValueError otherwise."""
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"a time must be between 0s and 100y, got {seconds:g}s")
    return seconds + 0.0  # -0.0 would print as another time than 0.0


def time_text(seconds: float | None) -> str:
    """The shortest text in whole units that `parse_time` reads as `seconds`."""
    if seconds is None:
        return PROGRAMMED
    for unit, size in _UNITS.items():
        count = seconds / size
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return "0s" if seconds == 0 else f"{seconds!r}s"


def parse_times(text: str) -> tuple[float | None, ...]:
    """Comma-separated times, ascending, each once; `programmed` comes first.

    Raises:
        ValueError: as `parse_time`.
    """
    found = {parse_time(part.strip()) for part in text.split(",")}
    return tuple(sorted(found, key=lambda time: -1.0 if time is None else time))
