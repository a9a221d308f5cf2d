"""How a network lies on the chip, where that is another way than torch has it. No torch here."""

import math
from dataclasses import dataclass

from noiseproof.core.checks import one_of
from noiseproof.specs.mapping import AS_ARRAYS, ArrayMapping

FORMS = {
    "variance": "as torch: the running variance; noise may make one negative, and a chip with one "
    "has no finite output",
    "deviation": "sqrt(variance + eps), as the scale of L1 and top-k BatchNorm is stored in Hoffer "
    "et al.'s code",
    "inverse": "1 / sqrt(variance + eps), as some code of range BatchNorm stores it",
    "own": "variance for batch; deviation for batch_l1, batch_topk and batch_linf; inverse for "
    "batch_range",
}
OWN_FORMS = {
    "batch": "variance",
    "batch_l1": "deviation",
    "batch_topk": "deviation",
    "batch_linf": "deviation",
    "batch_range": "inverse",
}
"""The form that the code of each normalisation stores, by its kind."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How a network is stored, as far as noise on it depends on that.

    - `stats_as`: what noise on `norm_stats` acts on, a key of `FORMS` (default: the variance).
    - `fold_norm`: normalisation is folded into the kernel and bias of the layer in front of it
      before the noise, as a deployment may do (default: no).
    - `eps`: of all layers with running statistics (default: their own; 1e-5 in torch, 1e-3 in
      Keras).
    - `array`: how kernels lie in arrays, for noise on devices (default: pairs of them, each output
      channel by its own largest weight).
    - `hardware`: the name of the hardware file that says all this, for rows (default: none).

    Raises:
        ValueError: for another form, and an eps that is not a number above zero.
    """

    stats_as: str = "variance"
    fold_norm: bool = False
    eps: float | None = None
    array: ArrayMapping = AS_ARRAYS
    hardware: str = ""

    def __post_init__(self) -> None:
        one_of("stats_as", self.stats_as, FORMS)
        if self.eps is not None and not (0 < self.eps < math.inf):
            raise ValueError(f"eps must be a number above 0, got {self.eps:g}")

    def mapping(self, *, has_arrays: bool) -> str:
        """As rows have it; empty where it is as torch has it. `has_arrays`: the noise is on
        devices, or something happens at products, so that it matters how kernels lie in arrays."""
        parts = [str(self.array)] if has_arrays else []
        return ", ".join([*parts, *(["fold_norm=yes"] if self.fold_norm else [])])

    def form(self, targets: tuple[str, ...]) -> str:
        """The form of the statistics as rows have it; empty for torch's own, and where no noise is
        on them."""
        is_other = self.stats_as != "variance" and "norm_stats" in targets
        return self.stats_as if is_other else ""

    def norm_text(self, norm: str) -> str:
        """What rows call a normalisation, with its eps where that is not its own:
        `batch (eps=0.001)`, `none (last:1/3, eps=0.001)`."""
        if self.eps is None:
            return norm
        said = f"eps={self.eps:g}"
        return f"{norm[:-1]}, {said})" if norm.endswith(")") else f"{norm} ({said})"


AS_TORCH = Stored()
"""Statistics as variances, nothing folded, eps its own."""
