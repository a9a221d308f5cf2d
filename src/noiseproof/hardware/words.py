"""What a chip must state, in ten lines: what its numbers mean, and leaves open. No torch."""

from collections.abc import Callable, Sequence

from noiseproof.hardware.devices import Device, find_device
from noiseproof.specs import ArrayMapping, OnDevices, Spec, parse_mvm, time_text
from noiseproof.specs.cells import Offset, Slices

EXACT = "exact"
COMPENSATED = {
    "off": "none",
    "scalar": "one factor for each layer, exact: mean |w| just after programming, without read "
    "noise, over mean |w| as it is read now (at least 1e-4), in units of the scale; the digital "
    "bias is added after it",
    "column": "the same, for each output of a layer",
}


def statements(
    noise: Spec, mapping: ArrayMapping, *, mvm: str = "", compensate: str = "off", digital: str = ""
) -> dict[str, str]:
    """The ten lines of a chip, by what they are about.

    Raises:
        ValueError: for a device file that is not at hand, and a law that is a function.
    """
    staged = [stage for stage in noise.stages if isinstance(stage, OnDevices)]
    for stage in staged:
        if stage.is_function:
            raise ValueError(f"what a chip of {stage.device} states is in that function alone")
    devices = [find_device(stage.path or stage.device) for stage in staged]
    read = [str(stage) for stage in parse_mvm(mvm).stages]
    return {
        "unit of sigma": _unit(devices, mapping, noise),
        "clips": _each(devices, _clips) or "none",
        "what drives each law": _each(devices, _driven) or "the weight itself",
        "time": _each(devices, _time) or "does not pass",
        "frozen and fresh": _frozen(devices, read),
        "compensation": COMPENSATED[compensate if devices else "off"],
        "converters": _parts(read, ("dac", "adc")) or f"none: inputs and outputs are {EXACT}",
        "noise at products": _parts(read, ("read", "output")) or f"none: products are {EXACT}",
        "wires and cells": _cells(devices, mapping, _parts(read, ("wires",))),
        "digital": "biases, normalisation, shortcuts, products of activations with each other, "
        "partial sums of tiles" + (f"; also the layers {digital}" if digital else ""),
    }


def _unit(devices: Sequence[Device], mapping: ArrayMapping, noise: Spec) -> str:
    if not devices:
        return f"that of {noise}, per weight"
    names = ", ".join(f"{one.unit} of {one.name} up to {one.g_max:g}" for one in devices)
    over = {"channel": "its output channel", "tensor": "its tensor", "tile": "its tile"}
    return f"{names}, per device; a weight is divided by max |W| of {over[mapping.scale]}"


def _clips(device: Device) -> str:
    ends = None if device.read is None else device.read.clip
    later = "a read at 0" if ends is None else f"a read to [{ends[0]:g}, {ends[1]:g}] {device.unit}"
    below = f"; weights below {device.zero_below:g} {device.unit} are exactly 0"
    return f"programming at 0, {later}" + (below if device.zero_below else "")


def _driven(device: Device) -> str:
    laws = ["programming: the target"]
    if device.drift is not None:
        laws.append("drift: the target, each device of its own")
    if device.later:
        laws.append("what programming becomes: the target")
    if device.relax is not None:
        laws.append("relaxation: the same for all conductances")
    if device.read is not None:
        law = device.read.law
        laws.append(
            "reads: the programmed one" if law == "share" else "reads: the one that is read"
        )
    return "; ".join(laws)


def _time(device: Device) -> str:
    if not device.ages:
        return "does not pass: programming alone"
    origin = f"; drift counts from {device.t0:g} s before that" if device.t0 else ""
    last = device.later[-1].time if device.later else device.last_time
    ends = "" if last is None else f"; measured up to {time_text(last)}"
    reads = "no read noise"
    if device.read is not None:
        reads = "programmed is programming alone, 0s has the noise of a first read"
    return f"seconds since programming ended{origin}; {reads}{ends}"


def _frozen(devices: Sequence[Device], read: Sequence[str]) -> str:
    kept = ["programming"] if devices else ["its noise"]
    kept += ["exponents of drift"] if any(one.drift for one in devices) else []
    kept += ["relaxation"] if any(one.relax for one in devices) else []
    kept += ["draws of reads, which only grow with time"] if any(o.read for o in devices) else []
    chip = f"frozen for each chip: {', '.join(kept)}"
    fresh = _parts(read, ("read", "output"))
    return f"{chip}; fresh at every product: {fresh or 'nothing'}"


def _cells(devices: Sequence[Device], mapping: ArrayMapping, wires: str) -> str:
    cells = mapping.cells
    if isinstance(cells, Offset):
        held = "one device for each weight around the middle of its range, subtracted digitally; "
        held += "what moves all devices alike moves all weights"
    elif isinstance(cells, Slices):
        held = f"{cells.devices} devices for each weight of {cells.bits} bits, {cells.cell} a cell"
    else:
        held = f"{cells.devices} devices for each weight, g+ and g-, which both age and are read"
        if cells.partner == "ideal":
            held = f"{cells.devices} devices for each weight; the one near g_min is exact"
    tile = "of any size" if mapping.tile is None else "of {}x{}".format(*mapping.tile)
    return f"{held}; arrays {tile}; wires: {wires or 'of no resistance'}"


def _each(devices: Sequence[Device], say: Callable[[Device], str]) -> str:
    said = {device.name: say(device) for device in devices}
    if len(set(said.values())) <= 1:
        return "".join(set(said.values()))
    return "; ".join(f"{name}: {text}" for name, text in said.items())


def _parts(read: Sequence[str], kinds: Sequence[str]) -> str:
    return " + ".join(part for part in read if part.partition("(")[0] in kinds)
