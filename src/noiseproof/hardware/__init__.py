"""Devices, arrays and converters: what hardware does to a kernel and to a product."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.hardware.aging import ReadBack as ReadBack
    from noiseproof.hardware.aging import Verify as Verify
    from noiseproof.hardware.aging import read_back as read_back
    from noiseproof.hardware.cutting import scale_of as scale_of
    from noiseproof.hardware.devices import Device as Device
    from noiseproof.hardware.devices import device_names as device_names
    from noiseproof.hardware.devices import find_device as find_device
    from noiseproof.hardware.faults import Faults as Faults
    from noiseproof.hardware.faults import Lines as Lines
    from noiseproof.hardware.fitting import Fit as Fit
    from noiseproof.hardware.fitting import Setting as Setting
    from noiseproof.hardware.fitting import fit_device as fit_device
    from noiseproof.hardware.opening import array_maps as array_maps
    from noiseproof.hardware.opening import products_at as products_at
    from noiseproof.hardware.products import Products as Products
    from noiseproof.hardware.readings import Readings as Readings
    from noiseproof.hardware.readings import read_readings as read_readings
    from noiseproof.hardware.samples import Cursor as Cursor
    from noiseproof.hardware.tiling import tiles as tiles
    from noiseproof.hardware.tiling import whole_tile as whole_tile
    from noiseproof.hardware.wires import effective as effective
    from noiseproof.hardware.wires import wired as wired
    from noiseproof.hardware.wording import device_lines as device_lines
    from noiseproof.hardware.wording import device_toml as device_toml
    from noiseproof.hardware.words import statements as statements

__getattr__, __dir__ = face(
    __name__,
    {
        "Products": "hardware.products",
        "Cursor": "hardware.samples",
        "Device": "hardware.devices",
        "array_maps": "hardware.opening",
        "products_at": "hardware.opening",
        "scale_of": "hardware.cutting",
        "Faults": "hardware.faults",
        "Lines": "hardware.faults",
        "Fit": "hardware.fitting",
        "ReadBack": "hardware.aging",
        "Readings": "hardware.readings",
        "Setting": "hardware.fitting",
        "Verify": "hardware.aging",
        "device_lines": "hardware.wording",
        "device_names": "hardware.devices",
        "device_toml": "hardware.wording",
        "find_device": "hardware.devices",
        "fit_device": "hardware.fitting",
        "read_back": "hardware.aging",
        "read_readings": "hardware.readings",
        "effective": "hardware.wires",
        "statements": "hardware.words",
        "tiles": "hardware.tiling",
        "whole_tile": "hardware.tiling",
        "wired": "hardware.wires",
    },
)
