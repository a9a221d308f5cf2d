"""Devices, arrays and converters: what hardware does to a kernel and to a product."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    pass

__getattr__, __dir__ = face(__name__, {})
