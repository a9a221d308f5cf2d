"""What `unchanged.py` computes by the functions of the package `noiseproof`.

Only `npf.NAME` is called; the few types that these functions take are looked up in `HOMES`.
"""

import dataclasses
import hashlib
import importlib
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import noiseproof as npf

# Where a type lives may change: the first of these places that has it is taken.
HOMES = {
    "Plan": ("training", "recipes", "specs.recipes", "specs"),
    "Recipe": ("training", "recipes", "specs.recipes", "specs"),
    "Stream": ("streams", "specs.streams", "specs"),
    "open_dataset": ("data", "data.datasets"),
    "exported": ("records", "results", "results.store", "results.rows"),
    "curves_of": ("curves", "results", "results.curves"),
    "traces_of": ("traces", "results", "results.streams"),
    "rankings_of": ("ranking", "results", "results.sensitivity"),
}
NOISES = (
    "gaussian(0.3)",
    "gaussian(0.1, reference=rms, scope=channel)",
    "gaussian(0.1, reference=max, scope=global)",
    "gaussian(0.1, reference=range)",
    "gaussian(0.02, reference=absolute)",
    "laplace(0.3)",
    "uniform(0.3, reference=rms)",
    "lognormal(0.3)",
    "stuck(0.1)",
    "stuck(0.1, at=max)",
    "quantize(bits=4)",
    "quantize(bits=6, scope=channel) + gaussian(0.3) + stuck(0.05)",
)
ESTIMATORS = (
    *("pooled(60)", "pooled(60, batch=20)", "layerwise(60)", "blend(60, prior=32)"),
    *("match(60)", "ema(0.2, batch=20)", "batch(20)"),
)
NORMS = (
    *("none", "batch", "batch_l1", "batch_topk", "batch_linf", "batch_range"),
    *("instance", "group", "layer"),
)
COMMITTED = (
    "studies/noise-aware-norm/rows.parquet",
    "studies/noise-aware-norm/draws.parquet",
    "studies/references/rows.parquet",
)
ALL_ROLES = ("kernel", "bias", "norm_affine", "norm_stats")


def home(name: str) -> Any:
    """The thing of that name, wherever it lives."""
    for place in HOMES[name]:
        try:
            return getattr(importlib.import_module(f"noiseproof.{place}"), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"{name} is in none of {', '.join(HOMES[name])}: name its home in HOMES")


def network() -> nn.Sequential:
    """A small network with two batch normalisations, trained for 30 steps on digits."""
    dice = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(144, 10)),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                spread = parameter[0].numel() ** -0.5
                parameter.copy_(spread * torch.randn(parameter.shape, generator=dice))
        for layer in model:
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                layer.bias.zero_()  # torch draws it from its global numbers
    images, labels = digits("train")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    for _ in range(30):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    return model.eval()


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 8, 8) from 0 to 1 and labels (N,): 300 to train, 200 to test."""
    data = load_digits()
    part = slice(0, 300) if split == "train" else slice(300, 500)
    images = torch.tensor(data.images[part], dtype=torch.float32)[:, None] / 16
    return images, torch.tensor(data.target[part])


def sha256_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Of each tensor by its name."""
    return {
        name: hashlib.sha256(
            f"{tuple(tensor.shape)} {tensor.dtype}".encode()
            + tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()[:16]
        for name, tensor in sorted(state.items())
    }


def values_of(row: Any) -> dict[str, Any]:
    """A row's columns by name, whatever holds them."""
    values = dataclasses.asdict(row) if dataclasses.is_dataclass(row) else dict(row)
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in values.items()}


def results() -> dict[str, Any]:
    """Rows and documents by name. Rows: under `rows`, lists of columns by name."""
    torch.set_num_threads(1)
    model = network()
    found: dict[str, Any] = {"network": sha256_of(model.state_dict())}
    found["parse"] = {text: str(npf.noise.parse(text)) for text in NOISES}
    found["sweep"] = [str(spec) for spec in npf.noise.parse(NOISES[-1]).at([0.1, 0.2])]
    for name, compute in {
        "manufacture": _manufactured,
        "recalibrate": _recalibrated,
        "replace_norms": _replaced,
    }.items():
        found[name] = compute(model)
    found["explain"] = _explained(model)
    found["train"] = _trained()
    found["rows"] = {name: compute(model) for name, compute in ROWS.items()}
    return found


def write_pages(repository: Path, folder: Path) -> list[Path]:
    """Pages of the committed rows that belong to no study file, written into `folder`."""
    pages = []
    for name in COMMITTED:
        rows = home("exported")(repository / name)
        page = folder / f"{name.replace('/', '-').removesuffix('.parquet')}.html"
        npf.write_report(
            home("curves_of")(rows),
            page,
            source=name,
            traces=home("traces_of")(rows),
            rankings=home("rankings_of")(rows),
        )
        pages.append(page)
    return pages


def _manufactured(model: nn.Module) -> dict[str, Any]:
    found = {}
    for text in NOISES:
        for targets in (("kernel",), ALL_ROLES):
            chip = npf.manufacture(model, npf.noise.parse(text), seed=2, chip=3, targets=targets)
            found[f"{text} on {','.join(targets)}"] = sha256_of(chip.state_dict())
    return found


def _recalibrated(model: nn.Module) -> dict[str, Any]:
    chip = npf.manufacture(model, npf.noise.parse("gaussian(0.4)"), seed=0, chip=0)
    images = digits("train")[0]
    found = {"no estimator": sha256_of(npf.recalibrate(chip, images).state_dict())}
    for text in ESTIMATORS:
        fixed = npf.recalibrate(chip, images, estimator=text, clean=model)
        found[text] = sha256_of(fixed.state_dict())
    return found


def _replaced(model: nn.Module) -> dict[str, Any]:
    """What each normalisation makes of the network: layers, tensors, outputs."""
    images = digits("test")[0][:20]
    found: dict[str, Any] = {}
    for kind in NORMS:
        for where in ("all", "last:1"):
            try:
                changed = npf.replace_norms(model, kind, where=where)
            except ValueError as error:
                found[f"{kind}, {where}"] = str(error)
                continue
            with torch.no_grad():
                out = {"output": changed(images)}
            # Classes are not named by their modules, which may move.
            layers = [type(layer).__name__ for layer in changed.modules()]
            found[f"{kind}, {where}"] = {
                "layers": layers,
                "sha256": sha256_of(changed.state_dict() | out),
            }
    return found


def _explained(model: nn.Module) -> dict[str, Any]:
    images, labels = digits("test")
    anatomy = npf.explain(
        model,
        (images[:50], labels[:50]),
        npf.noise.parse("gaussian(0.4)"),
        recalibrate=("pooled(60)", "match(60)"),
        chips=2,
        targets=("kernel", "norm_affine"),
        calibration=digits("train")[0],
    )
    return dict(anatomy.as_json())


def _trained() -> dict[str, Any]:
    recipe = home("Recipe")(epochs=1, batch_size=100, augment=False)
    plan = home("Plan")(model="resnet8", norm="batch", norm_where="all", recipe=recipe, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        card = npf.train(plan, home("open_dataset")("digits"), Path(folder) / "run", device="cpu")
    return {"sha256": card.sha256, "clean_scores": dict(card.clean_scores)}


def _measured(**options: Any) -> Callable[[nn.Module], list[dict[str, Any]]]:
    """Rows of `npf.measure` on the handwritten digits."""

    def compute(model: nn.Module) -> list[dict[str, Any]]:
        rows: list[Any] = []
        noise = npf.noise.parse(options.get("noise", "gaussian(0.1)"))
        others = {name: value for name, value in options.items() if name not in ("noise", "levels")}
        npf.measure(
            model,
            digits("test"),
            noise.at(options["levels"]) if "levels" in options else noise,
            calibration=digits("train")[0] if "recalibrate" in options else None,
            on_row=lambda row, done, total: rows.append(row),
            **others,
        )
        return [values_of(row) for row in rows]

    return compute


def _tracked(model: nn.Module) -> list[dict[str, Any]]:
    rows: list[Any] = []
    npf.track(
        model,
        digits("test"),
        npf.noise.parse("gaussian(0.5)"),
        home("Stream")(every=50, wander=0.4),
        recalibrate=("off", "pooled(60)", "ema(0.3, batch=10)", "batch(25)"),
        calibration=digits("train")[0],
        images=200,
        window=50,
        chips=2,
        on_row=lambda row, done, total: rows.append(row),
    )
    return [values_of(row) for row in rows]


def _ranked(model: nn.Module) -> list[dict[str, Any]]:
    rows: list[Any] = []
    ranking = npf.rank_layers(
        model,
        digits("test"),
        npf.noise.parse("gaussian(0.6)"),
        targets=("kernel", "bias"),
        on_row=lambda row, done, total: rows.append(row),
    )
    assert ranking.as_json()
    return [values_of(row) for row in rows]


def _confidence(model: nn.Module, test: tuple[Tensor, Tensor]) -> float:
    """A score of one's own: the mean of the largest probability."""
    with torch.no_grad():
        return float(model(test[0]).softmax(1).amax(1).double().mean())


def _masks(model: nn.Module) -> list[dict[str, Any]]:
    """A network of pixels on masks: bright or dark."""
    dice = torch.Generator().manual_seed(1)
    segmenter = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=dice))
    images = digits("test")[0][:40]
    rows: list[Any] = []
    npf.measure(
        segmenter,
        (images, (images[:, 0] > 0.5).long()),
        npf.noise.parse("gaussian(0.3)"),
        chips=2,
        recalibrate="match(20)",
        calibration=digits("train")[0],
        on_row=lambda row, done, total: rows.append(row),
    )
    return [values_of(row) for row in rows]


ROWS: dict[str, Callable[[nn.Module], list[dict[str, Any]]]] = {
    "measure chips": _measured(levels=[0.0, 0.3, 0.6], chips=3),
    "measure all roles": _measured(noise="laplace(0.1)", chips=2, targets=ALL_ROLES),
    "measure nested": _measured(levels=[0.3, 0.6], design="nested(50)", chips=5, seed=9),
    "measure per-image": _measured(levels=[0.3, 0.6], design="per-image", passes=2),
    "measure precision": _measured(levels=[0.6], design="nested(50)", precision=0.1, chips=80),
    "measure auto": _measured(noise="lognormal(0.5)", design="auto", chips=3),
    "measure batches of 13": _measured(levels=[0.6], batch_size=13, chips=2),
    "measure own score": _measured(levels=[0.3, 0.6], score=_confidence, chips=2),
    **{f"measure {way}": _measured(levels=[0.6], recalibrate=way, chips=2) for way in ESTIMATORS},
    "measure masks": _masks,
    "track": _tracked,
    "rank_layers": _ranked,
}


def quiet_results() -> dict[str, Any]:
    """`results`, and the sentences of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = results()
    ours = [str(one.message) for one in caught if one.category.__name__ == "NoEffectWarning"]
    return found | {"warnings": ours}
