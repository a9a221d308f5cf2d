"""The constants of the devices that come along stay what they are.

Rows hold a device's name and not its constants, so that other constants under the same name would
pass for the same chips in every store. Whoever has better ones gives them another name.
"""

from noiseproof.hardware import device_names, find_device

DIGESTS = {
    "afm": "80a42c58",
    "hermes": "9fee629e",
    "hermes1": "c990e58d",
    "ideal": "5ef10473",
    "pcm": "20c8a69e",
    "pcm_joshi": "3e8b352e",
    "reram_cmo": "cb110a93",
    "reram_cmo_2pct": "b9fd26c4",
    "reram_wan": "9211e84f",
    "reram_wan_cubic": "17b57ea3",
    "rram_milo": "d2556e33",
    "sonos": "eec6d194",
}


def test_other_constants_have_another_name() -> None:
    assert {name: find_device(name).digest for name in device_names()} == DIGESTS
