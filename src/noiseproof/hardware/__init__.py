"""Devices, arrays and converters: what hardware does to a kernel and to a product."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.hardware.aging import ReadBack as ReadBack
    from noiseproof.hardware.aging import Verify as Verify
    from noiseproof.hardware.aging import read_back as read_back
    from noiseproof.hardware.devices import Device as Device
    from noiseproof.hardware.devices import device_names as device_names
    from noiseproof.hardware.devices import find_device as find_device
    from noiseproof.hardware.faults import Faults as Faults
    from noiseproof.hardware.opening import array_maps as array_maps
    from noiseproof.hardware.opening import products_at as products_at
    from noiseproof.hardware.opening import scale_of as scale_of
    from noiseproof.hardware.products import Products as Products
    from noiseproof.hardware.samples import Cursor as Cursor
    from noiseproof.hardware.words import statements as statements

__getattr__, __dir__ = face(
    __name__,
    {
        "Products": "hardware.products",
        "Cursor": "hardware.samples",
        "Device": "hardware.devices",
        "array_maps": "hardware.opening",
        "products_at": "hardware.opening",
        "scale_of": "hardware.opening",
        "Faults": "hardware.faults",
        "ReadBack": "hardware.aging",
        "Verify": "hardware.aging",
        "device_names": "hardware.devices",
        "find_device": "hardware.devices",
        "read_back": "hardware.aging",
        "statements": "hardware.words",
    },
)
