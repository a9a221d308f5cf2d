"""Parts of a network that are noisy, in the words of `Row.part`, and what may be asked of them. No
torch here.

A row says which groups of targeted tensors were noisy: `nothing`, `only:layer:conv1`, or all but
those that are kept digital, `but:layer:conv1,fc` (`but:layer:` where none is).
"""

from collections.abc import Sequence

from noiseproof.specs.designs import Design, Nested, PerImage, check_design
from noiseproof.specs.noise import Spec

GROUPINGS = {
    "layer": "the module that owns the tensors",
    "block": "the module around it; a layer that stands alone in the network is a block",
    "role": "all tensors of one role (kernel, bias, norm_affine)",
}
CLEAN = "nothing"
WHOLE_NETWORK = "."  # the name of the root module's group: no module can be called that
USUAL_STEPS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)


def only_part(by: str, name: str) -> str:
    """`Row.part` of noise in one group alone."""
    return f"only:{by}:{name}"


def but_part(by: str, names: Sequence[str]) -> str:
    """`Row.part` of noise in all groups but these, which are kept digital."""
    return f"but:{by}:{','.join(names)}"


def check_ranked(
    spec: Spec,
    targets: Sequence[str],
    design: Design,
    *,
    has_hits: bool,
    at_products: bool = False,
) -> None:
    """Raise ValueError for what cannot be ranked: nothing, nested samples of images, and per-image
    chips where they do not hold. `has_hits`: may single inputs be right or wrong? `at_products`:
    something happens there, so that no noise on weights is something too."""
    if not spec.stages and not at_products:
        raise ValueError("there is nothing to rank without noise: give a spec with a stage")
    if isinstance(design, Nested):
        raise ValueError(
            f"layers are compared on the same images, and design {design} draws others for each "
            "chip: use auto, chips or per-image"
        )
    if isinstance(design, PerImage):
        check_design(design, [spec], targets, estimator=None, has_hits=has_hits)


def parse_steps(text: str) -> tuple[int, ...]:
    """Comma-separated numbers of groups to keep digital, ascending, each once.

    Raises:
        ValueError: for anything that is not a whole number >= 0.
    """
    found = set()
    for part in text.split(","):
        if not part.strip().isdecimal() or len(part) > 9:
            raise ValueError(f"keep must be whole numbers >= 0, as in 0,1,5, got {part.strip()!r}")
        found.add(int(part))
    return tuple(sorted(found))


def chosen_steps(keep: Sequence[int], *, groups: int) -> list[int]:
    """How many of the `groups` are kept digital, ascending: with 0, to which the others are
    compared, and without all, which is the clean network. None asked for: Fibonacci numbers.

    Raises:
        ValueError: for a number that there cannot be.
    """
    for k in keep:
        if not 0 <= k <= groups:
            raise ValueError(f"keep must be between 0 and the {groups} groups there are, got {k}")
    return sorted({0, *(k for k in keep or USUAL_STEPS if k < groups)})
