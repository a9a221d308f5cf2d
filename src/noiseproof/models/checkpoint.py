"""Weights on disk, and the card beside them. Nothing in a file is ever executed.

A card is the JSON file beside the weights, `weights.safetensors` and `weights.json`.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from noiseproof.core.files import replacing
from noiseproof.network import State, state_of

NESTED_UNDER = ("state_dict", "model", "model_state_dict")
WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and AveragedModel; torch.compile
COUNTERS = {"n_averaged"}
SHOWN_KEYS = 3


class Card(BaseModel):
    """What a run says of the weights it made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    norm: str | None
    norm_where: str
    data: str
    scale: str
    classes: int
    channels: int
    recipe: dict[str, int | float | str | bool | None]
    seed: int
    epochs_done: int
    names: tuple[str, ...] = ()  # of its classes, where the data set has names for them
    task: str = "classify"
    clean_accuracy: float | None = None  # of a classifier
    clean_scores: dict[str, float] = Field(default_factory=dict)  # by the metrics' names
    clean_images: int
    seconds: float
    device: str
    versions: str
    sha256: str  # of the weights' file

    @model_validator(mode="after")
    def _named_score(self) -> Self:
        """A card that knows only its accuracy says so under the metric's name too."""
        if self.clean_accuracy is not None and not self.clean_scores:
            self.clean_scores["accuracy"] = self.clean_accuracy
        return self


def weights_file(path: str | Path) -> Path:
    """The file that `path` means: itself, or the `weights.safetensors` of a training run's folder.

    Raises:
        ValueError: where there is none.
    """
    given = Path(path)
    file = given / "weights.safetensors" if given.is_dir() else given
    if not file.is_file():
        raise ValueError(f"weights {file} do not exist")
    return file


def file_sha256(path: Path) -> str:
    """As `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: str | Path) -> State:
    """The tensors of a checkpoint: safetensors, or torch's format, plain or nested under
    `state_dict`, `model` or `model_state_dict`, with or without a `module.` or `_orig_mod.` prefix.

    Raises:
        ValueError: for a file that is damaged, needs code to load, or holds no state dict.
    """
    file = weights_file(path)
    found: Any = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    for name in NESTED_UNDER:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{file} holds no state dict")
    state = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"{file} holds no tensors: expected a state dict")
    for prefix in WRAPPERS:
        wrapped = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        # All of them or none: a model may well have one submodule that is called `module`.
        if wrapped and set(state) - {prefix + name for name in wrapped} <= COUNTERS:
            state = wrapped
    return state


def _read_safetensors(file: Path) -> State:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is not a readable safetensors file: {error}") from None


def _read_torch(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        pickled = file.read_bytes()[:1] == b"\x80"  # and not the zip that torch writes now
        if "GLOBAL" in str(error) or pickled:  # GLOBAL: a function that a pickle wants to call
            raise ValueError(
                f"{file} is refused: it needs code to load, and only tensors are read from a "
                "checkpoint; save model.state_dict() instead"
            ) from None
        raise ValueError(_DAMAGED.format(file)) from None
    except Exception:  # a damaged file can fail in any way; what is safe about it is weights_only
        raise ValueError(_DAMAGED.format(file)) from None


_DAMAGED = "{} is not a readable checkpoint: it is cut short, damaged, or no torch file"


def fill(model: nn.Module, state: Mapping[str, Tensor], *, name: str) -> None:
    """Load `state` into `model`, in place. `name` says which model, for the error.

    Raises:
        ValueError: naming the keys that differ. Missing batch counters are no difference.
    """
    own = model.state_dict()
    given = {own[k].data_ptr() for k in own if k in state}  # a tied tensor is given by one name
    missing = [k for k in own if k not in state and own[k].data_ptr() not in given]
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    shaped = [k for k in own if k in state and own[k].shape != state[k].shape]
    problems = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (("missing", missing), ("unknown", unknown))
        if keys
    ]
    problems += [
        f"{k} has shape {tuple(state[k].shape)}, the model {tuple(own[k].shape)}"
        for k in shaped[:SHOWN_KEYS]
    ]
    if problems:
        raise ValueError(f"weights do not fit {name}: {'; '.join(problems)}")
    # Not strict, since what may be missing has been settled above; torch's own error is many lines.
    model.load_state_dict(dict(state), strict=False)


def _some(keys: list[str]) -> str:
    more = f", and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more


def is_kernel(tensor: Tensor) -> bool:
    """Is it a floating-point matrix or more? Vectors (biases, scales, statistics) are small and
    need their range."""
    return tensor.dim() > 1 and tensor.is_floating_point()


def round_kernels_(model: nn.Module) -> None:
    """Round the model's kernels, in place, to what float16 can hold.

    Raises:
        ValueError: for a kernel that float16 cannot hold.
    """
    for name, tensor in state_of(model).items():
        if is_kernel(tensor):
            rounded = tensor.half()  # beyond 65504 it is inf
            if not bool(rounded.isfinite().all()):
                raise ValueError(f"{name} does not fit float16: save it whole (half = false)")
            tensor.copy_(rounded)


def save_weights(model: nn.Module, path: Path, *, half: bool = False) -> str:
    """Write the model's state dict as safetensors, a tied tensor once, whole or not at all; with
    `half` its kernels as float16. Returns the file's sha256."""
    once = state_of(model)
    # safetensors takes neither shared memory (a tied tensor twice) nor channels last.
    state = {k: v.cpu().contiguous() for k, v in model.state_dict().items() if k in once}
    if half:
        state = {k: v.half() if is_kernel(v) else v for k, v in state.items()}
    with replacing(path) as temporary:  # bytes first: a full disk is then an OSError like any other
        temporary.write_bytes(to_bytes(state))
    return file_sha256(path)


def write_card(card: Card, weights: Path) -> None:
    """Write the card beside the weights, whole or not at all."""
    with replacing(weights.with_suffix(".json")) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n")


def read_card(path: str | Path) -> Card | None:
    """The card beside the weights at `path`; None where there is none, or it is of other weights.

    Raises:
        ValueError: for a card that cannot be read.
    """
    file = weights_file(path)
    beside = file.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        content = json.loads(beside.read_text())
        if not isinstance(content, dict) or "sha256" not in content:
            return None
        card = Card.model_validate(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"card {beside} is not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"card {beside}: {place}: {first['msg']}") from None
    # Weights that were replaced beside their old card: what it says is of others.
    return card if card.sha256 == file_sha256(file) else None
