"""How a network is trained: everything that decides its weights."""

from dataclasses import dataclass

from noiseproof.specs.catalog import TASKS


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with Nesterov momentum under a one-cycle schedule: the learning rate rises to `lr` over
    the first 30 % of the steps and falls to zero along a cosine (Smith and Topin 2018).

    `bf16`: forward and backward in bfloat16 where torch's autocast holds it safe, weights and
    optimiser in float32; None: on GPUs. `half`: the trained kernels are rounded to float16, which
    halves the file; what is scored and measured are the rounded ones. `clip_gradient`: gradients of
    all parameters together that are longer than this are shortened to it (Pascanu et al. 2013),
    which lets deep networks without normalisation train at higher rates; None: never. `compiled`:
    by torch.compile, the same sums in another order, after half a minute once.
    """

    epochs: int = 30
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = True
    bf16: bool | None = None
    half: bool = False
    clip_gradient: float | None = None
    compiled: bool = False

    @classmethod
    def usual(cls, task: str, **given: int | float | None) -> "Recipe":
        """The recipe of a task, but for what is `given` and not None."""
        return cls(**{**TASKS[task].recipe, **{k: v for k, v in given.items() if v is not None}})  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("lr", "momentum", "weight_decay"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be finite and >= 0, got {value}")
        if self.clip_gradient is not None and not 0 < self.clip_gradient < float("inf"):
            raise ValueError(f"clip_gradient must be finite and > 0, got {self.clip_gradient}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the weights that come out."""

    model: str
    norm: str | None
    norm_where: str
    recipe: Recipe
    seed: int
