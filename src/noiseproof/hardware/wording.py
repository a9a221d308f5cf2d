"""A device file as TOML, and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from noiseproof.hardware.devices import Device, Programmed
from noiseproof.specs.times import time_text


def device_toml(device: Device) -> str:
    """The file that `find_device` reads as `device`."""
    return "\n".join(_table("", device.model_dump(exclude_defaults=True))).lstrip("\n") + "\n"


def _table(path: str, content: Mapping[str, Any]) -> list[str]:
    """Its own keys, then the tables in it."""
    lines, tables = [], []
    for key, value in content.items():
        name = f"{path}.{key}".removeprefix(".")
        if isinstance(value, Mapping) and not _is_small(value):
            inner = _table(name, value)
            tables += inner if inner[0] == "" else ["", f"[{name}]", *inner]
        elif key == "later":
            for one in value:
                tables += ["", f"[[{name}]]", *_table(name, one)]
        else:
            lines.append(f"{key} = {_value(value)}")
    return [*lines, *tables]


def _is_small(value: Mapping[str, Any]) -> bool:
    """Does it go on one line?"""
    return not any(isinstance(v, Mapping) for v in value.values()) and len(_value(value)) < 100


def _value(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        shown = "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)
        return f'"{shown}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{k} = {_value(v)}' for k, v in value.items())} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def device_lines(device: Device) -> list[str]:
    """What the device is and does, a line for each part of its law."""
    unit, g = device.unit, device.g_max
    kinds = {"pair": "a pair of devices for each weight", "offset": "one device for each weight"}
    lines = [
        f"{device.name}: {device.about}",
        f"conductances: {device.g_min:g} to {g:g} {unit} "
        f"({kinds.get(device.cells, device.cells)}); r = g / {g:g} {unit}",
        *_programming(device),
    ]
    if device.drift is not None:
        lines.append(
            f"drift: g (T/{device.t0:g} s)^-nu, T = {device.t0:g} s + the time since programming; "
            f"nu of each device from its target, mean {device.drift.mean.text()}, "
            f"sd {device.drift.sd.text()}"
        )
    if device.relax is not None:
        lines.append(
            f"relaxation: all devices move by {device.relax.shift:g} ln(t/1 s) {unit}, each by "
            f"{device.relax.spread:g} + {device.relax.spread_rise:g} ln(t/1 s) {unit} (sd)"
        )
    if device.read is not None:
        lines += _reading(device)
    if not device.ages:
        lines.append("time: changes nothing, since nothing is known of it")
    lines += [f"source: {device.source}", *(f"leaves out: {text}" for text in device.leaves_out)]
    return [*lines, f"digest: {device.digest}"]


def _programming(device: Device) -> list[str]:
    whole = device.law_of == "weight"
    what = "the whole weight, which may change its sign" if whole else "each device, clipped at 0"
    lines = [f"programming ({what}): {_state(device.program, device.unit)}"]
    if device.zero_below:
        lines.append(f"targets below {device.zero_below:g} {device.unit} are exactly 0")
    if device.program.time:
        lines[0] += f", as {time_text(device.program.time)} after it"
    for one in device.later:
        lines.append(f"at {time_text(one.time)}: {_state(one, device.unit)}")
    if device.later:
        lines.append(f"between these times: linear in {device.between}; after the last: refused")
    return lines


def _state(state: Programmed, unit: str) -> str:
    of = " of what it moved to" if state.shift is not None and state.sd_of == "moved" else ""
    moved = "" if state.shift is None else f"moved by {state.shift.text()} {unit}, "
    return f"{moved}sd {state.sd.text()} {unit}{of}"


def _reading(device: Device) -> list[str]:
    law = device.read
    assert law is not None
    of = (
        "Q (share of what is read, of the programmed g)"
        if law.law == "share"
        else f"Q ({device.unit}, of what is read)"
    )
    clip = "at 0" if law.clip is None else f"to {law.clip[0]:g} to {law.clip[1]:g} {device.unit}"
    return [
        f"reading: 1/f noise since programming, sd Q sqrt(ln((T + {law.t_read:g} s) / "
        f"{2 * law.t_read:g} s)), {of} = {law.q.text()}; clipped {clip}"
    ]
