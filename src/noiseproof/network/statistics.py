"""A running variance as a chip stores it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A running variance v that is stored as its deviation d = sqrt(v + eps), or as 1 / d.

    Noise may turn the sign of what is stored. A network divides by what is stored, or multiplies
    with it, so the channel turns its sign too; a variance has none, so its gamma takes it. In
    float32 a deviation below 1e-6 drowns beside eps: such a channel is amplified a thousand times
    and more, and how much is not exact.
    """

    form: str  # deviation or inverse
    eps: float
    gamma: str  # the tensor that takes the sign

    def stored(self, variance: Tensor) -> Tensor:
        """What the chip stores, in float64."""
        d = (variance.double() + self.eps).sqrt()
        return d if self.form == "deviation" else 1 / d

    def variance(self, stored: Tensor) -> Tensor:
        """The variance that does the same, but for the sign; in float64."""
        square = stored.double().square()
        return (square if self.form == "deviation" else 1 / square) - self.eps
