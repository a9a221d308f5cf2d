"""What `unchanged.py` runs on the command line, and the small files that these commands need."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

STUDIES = ("architectures", "batchnorm", "l1-norm", "learning-rate", "noise-aware-norm")
COMMANDS = ("demo", "train", "measure", "sensitivity", "explain", "track", "report", "export")
STUDY_COMMANDS = ("plan", "run", "status", "report")
STORES = ("cifar", "designs", "noises", "digits", "scenes", "streams", "layers")
TINY = """\
name = "tiny"
title = "A tiny study"
data = "digits"
[claim]
text = "Without BatchNorm more is kept."
source = "Nobody, 2026"
published = [
  { what = "A network without", percent = 90.0, side = 0 },
  { what = "A network with", percent = 40.0, side = 1 },
]
[[comparisons]]
question = "Without against with"
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets", "recalibrate"]
[[comparisons]]
question = "Recalibrated against not"
order = [{ recalibrate = "pooled(50)", norm = "batch" }, { recalibrate = "off", norm = "batch" }]
by = ["targets"]
score = "average"
[profiles.quick]
about = "seconds"
images = 100
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["none", "batch"]
epochs = 1
seed = [0, 1]
[[profiles.quick.measurements]]
levels = [0.2, 0.8]
targets = ["kernel", "kernel,norm_affine"]
recalibrate = ["off", "pooled(50)"]
design = "nested(20)"
chips = 4
"""
OWN = '''\
"""A score of one's own: called with the noisy model and the test images and labels."""

import torch


def margin(model, test):
    """Mean distance between the largest and the second largest output, over the largest."""
    with torch.no_grad():
        top = model(test.inputs).topk(2, dim=1).values
    return float(((top[:, 0] - top[:, 1]) / top[:, 0].abs()).double().mean())
'''


@dataclass(frozen=True, kw_only=True)
class Command:
    """One call of the program. Its words are paths relative to the work folder. `store`: where its
    rows go; `pages` and `pictures`: HTML, Markdown and image files that it makes; `files`: others,
    whose bytes must be the same."""

    name: str
    words: tuple[str, ...]
    store: str = ""
    pages: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    has_json: bool = True

    @property
    def all_words(self) -> list[str]:
        """As the program gets them."""
        stored = ["--store", f"{self.store}.db"] if self.store else []
        return [*self.words, *stored, *(["--json"] if self.has_json else [])]


def commands() -> list[Command]:
    """All of them, in the order in which they run."""
    return [
        *_trainings(),
        *_measurements(),
        *_scenes(),
        *_streams_and_layers(),
        *_study(),
        *_readers(),
        *_listings(),
        *_mistakes(),
    ]


def write_files(work: Path, studies: Path) -> None:
    """The files that the commands read, beside the data sets and checkpoints."""
    (work / "own_code.py").write_text(OWN)
    (work / "tiny.toml").write_text(TINY)
    shutil.copy(studies / "noise-aware-norm" / "vit.py", work / "vit.py")
    _write_scenes(work / "scenes-made")
    for name in STUDIES:
        (work / f"study-{name}").mkdir()
        for file in ("rows.parquet", "networks.json"):
            shutil.copy(studies / name / "quick" / file, work / f"study-{name}" / file)


def _write_scenes(root: Path) -> None:
    """Twelve images of rectangles, with masks, and with boxes in the layout of Pascal VOC."""
    rng = np.random.default_rng(0)
    for folder in ("masks/train", "masks/trainannot", "masks/test", "masks/testannot"):
        (root / folder).mkdir(parents=True)
    for folder in ("voc/JPEGImages", "voc/Annotations", "voc/ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split, count in (("train", 8), ("test", 4)):
        names = [f"{split}{index}" for index in range(count)]
        (root / f"voc/ImageSets/Main/{split}.txt").write_text("\n".join(names))
        for name in names:
            pixels = rng.integers(0, 120, (48, 64, 3), dtype=np.uint8)
            top, left = int(rng.integers(2, 20)), int(rng.integers(2, 30))
            pixels[top : top + 24, left : left + 28, int(rng.integers(0, 3))] += 120
            mask = np.zeros((48, 64), dtype=np.uint8)
            mask[top : top + 24, left : left + 28] = 1
            Image.fromarray(pixels).save(root / f"masks/{split}/{name}.png")
            Image.fromarray(mask).save(root / f"masks/{split}annot/{name}.png")
            Image.fromarray(pixels).save(root / f"voc/JPEGImages/{name}.jpg", quality=95)
            (root / f"voc/Annotations/{name}.xml").write_text(
                "<annotation><size><width>64</width><height>48</height><depth>3</depth></size>"
                f"<object><name>box</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
                f"<xmax>{left + 28}</xmax><ymax>{top + 24}</ymax></bndbox></object></annotation>"
            )


def _ways(*names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--recalibrate", name))


def _trainings() -> list[Command]:
    def train(name: str, *words: str) -> Command:
        folder = f"runs/{name}"
        return Command(
            name=f"train {name}",
            words=("train", *words, "--seed", "3", "--out", folder),
            files=(f"{folder}/weights.safetensors",),
        )

    epochs = ("--epochs", "2")
    digits = ("--data", "digits", "--model", "resnet8", *epochs)
    return [
        train("digits", *digits, "--norm", "batch"),
        train("digits-none", *digits, "--norm", "none", "--no-augment", "--half"),
        train("digits-l1", *digits, "--norm", "batch_l1", "--norm-where", "first:1/2"),
        train("digits-topk", *digits, "--norm", "batch_topk", "--batch-size", "64", "--bf16"),
        train("masks", "--data", "masks:scenes-made/masks", "--model", "lraspp", *epochs),
        train("boxes", "--data", "voc:scenes-made/voc", "--model", "fcos", *epochs),
    ]


CIFAR_NET = ("cifar-nets/resnet8-batch-lr0.1-e6-s0-3a5157",)
RESNET20 = (
    *("checkpoints/resnet20-12fca82f.th", "--model", "resnet20", "--norm", "batch"),
    *("--data", "cifar10", "--normalize", "imagenet"),
)
GAUSSIAN = ("--noise", "gaussian(0.1, reference=std)")


def _measurements() -> list[Command]:
    def measure(store: str, about: str, *words: str) -> Command:
        return Command(name=f"measure {store}: {about}", words=("measure", *words), store=store)

    few = ("--images", "100", "--chips", "2")
    return [
        measure(
            *("cifar", "ResNet-20, all estimators", *RESNET20, *GAUSSIAN),
            *("--images", "100", "--chips", "3", "--levels", "0,0.3", "--above", "0.5"),
            *_ways("off", "pooled(20)", "pooled(40, batch=20)", "layerwise(20)"),
            *_ways("blend(20, prior=32)", "match(20)", "ema(0.1, batch=25)", "batch(25)", "10"),
        ),
        measure(
            *("cifar", "calibration images changed and of another draw", *RESNET20, *GAUSSIAN),
            *("--images", "100", "--chips", "2", "--levels", "0.3", "--augment-calibration"),
            *("--calibration-seed", "7", *_ways("pooled(20)", "match(20)"), "--seed", "1"),
        ),
        measure(
            *("cifar", "vision transformer", "own-nets/cifar10-vit", "--model", "vit:tiny"),
            *(*GAUSSIAN, *few, "--levels", "0.3", *_ways("off", "match(20)")),
        ),
        measure(
            *("cifar", "without normalisation", "own-nets/cifar10-resnet8-none", *GAUSSIAN),
            *(*few, "--levels", "0.2", *_ways("off", "match(20)", "pooled(20)")),
        ),
        measure("cifar", "auto estimator", *CIFAR_NET, *few, "--levels", "0.2", *_ways("auto")),
        measure(
            *("designs", "nested", *CIFAR_NET, *GAUSSIAN, "--images", "200", "--chips", "6"),
            *("--levels", "0.1,0.4", "--design", "nested(40)", "--above", "0.5"),
            *_ways("off", "pooled(20)"),
        ),
        measure(
            *("designs", "per-image", *CIFAR_NET, *GAUSSIAN, "--images", "200", "--passes", "2"),
            *("--levels", "0.1,0.4", "--design", "per-image", "--targets", "kernel,norm_affine"),
        ),
        measure(
            *("designs", "auto is per-image", *CIFAR_NET, "--images", "100", "--design", "auto"),
            *("--noise", "quantize(bits=5) + laplace(0.2, reference=rms)"),
        ),
        measure(
            *("designs", "auto is chips", *CIFAR_NET, "--images", "100", "--design", "auto"),
            *("--noise", "stuck(0.02, at=zero)", "--levels", "0.01,0.05", "--chips", "2"),
        ),
        measure(
            *("designs", "precision, per-image", *CIFAR_NET, *GAUSSIAN, "--images", "500"),
            *("--levels", "0.1,0.3", "--design", "per-image", "--precision", "0.03"),
        ),
        measure(
            *("designs", "precision, nested", *CIFAR_NET, *GAUSSIAN, "--images", "200"),
            *("--levels", "0.1", "--design", "nested(50)", "--precision", "0.06", "--chips", "60"),
        ),
        measure(
            *("designs", "precision, chips", *CIFAR_NET, *GAUSSIAN, "--images", "100"),
            *("--levels", "0.1,0.3", "--precision", "0.1", "--chips", "12"),
        ),
        *(
            measure("noises", noise, *CIFAR_NET, *few, "--noise", noise, *rest)
            for noise, *rest in (
                ("gaussian(0.1, reference=range, scope=tensor)", "--targets", "kernel,bias"),
                ("gaussian(0.02, reference=absolute)", "--levels", "0.01,0.03"),
                (
                    "gaussian(0.05, reference=std)",
                    "--targets",
                    "kernel,bias,norm_affine,norm_stats",
                ),
                ("laplace(0.05, reference=max, scope=channel)", "--targets", "kernel,norm_affine"),
                ("uniform(0.1, reference=rms, scope=global)", "--levels", "0.1,0.3"),
                ("lognormal(0.3)", "--targets", "kernel,norm_stats"),
                ("stuck(0.02, at=max)", "--targets", "kernel,bias"),
                ("quantize(bits=4)",),
                ("quantize(bits=6, scope=channel) + gaussian(0.1) + stuck(0.01)", "--seed", "5"),
            )
        ),
        measure(
            *("digits", "another norm put in", "runs/digits", "--norm", "batch_linf", *few),
            *("--norm-where", "every:2", "--levels", "0.3", *_ways("off", "layerwise(50)")),
        ),
        *(
            measure("digits", name, f"runs/digits{name}", *few, "--levels", "0.3,0.6", *rest)
            for name, *rest in (
                ("", "--batch-size", "7", *_ways("off", "pooled(50)", "match(50)", "batch(10)")),
                ("-none", *_ways("off", "match(50)")),
                ("-l1", *_ways("off", "pooled(50)", "ema(0.3, batch=20)")),
                ("-topk", *_ways("off", "layerwise(200)")),
            )
        ),
        measure(
            *("digits", "a score of one's own", "runs/digits", "--task", "own_code:margin"),
            *(*few, "--levels", "0.3", *_ways("off", "pooled(50)")),
        ),
    ]


def _scenes() -> list[Command]:
    camvid = ("own-nets/camvid-lraspp", "--data-dir", "scenes")
    cells = ("own-nets/bccd-fcos", "--data-dir", "scenes")
    few = ("--images", "6", "--chips", "2", "--levels", "0.2")
    return [
        Command(
            name=f"measure scenes: {about}", words=("measure", *words, *GAUSSIAN), store="scenes"
        )
        for about, *words in (
            ("masks", *camvid, *few, *_ways("off", "match(4)", "pooled(4)", "batch(2)")),
            ("boxes", *cells, *few, *_ways("off", "match(4)", "ema(0.1, batch=2)")),
            ("boxes, affine", *cells, *few, "--targets", "kernel,norm_affine", "--design", "auto"),
            (
                "masks of one's own",
                "runs/masks",
                "--chips",
                "2",
                *_ways("off", "blend(4, prior=8)"),
            ),
            ("boxes of one's own", "runs/boxes", "--chips", "2", *_ways("off", "layerwise(4)")),
        )
    ]


def _streams_and_layers() -> list[Command]:
    follow = ("--noise", "gaussian(0.4, reference=std)", "--every", "100", "--images", "400")
    every = ("off", "pooled(20)", "layerwise(20)", "blend(20, prior=32)")
    batches = ("ema(0.1, batch=20)", "batch(20)")
    rank = ("--noise", "gaussian(0.5, reference=std)", "--images", "200")
    why = ("--noise", "gaussian(0.5, reference=std)", "--chips", "2")
    return [
        Command(
            name="track redraw",
            words=(
                *("track", *CIFAR_NET, *follow, "--window", "50", "--chips", "2"),
                *("--period", "200", *_ways(*every, *batches)),
            ),
            store="streams",
        ),
        Command(
            name="track wander",
            words=(
                *("track", "runs/digits", *follow, "--wander", "0.3", "--chips", "2"),
                *("--targets", "kernel,norm_affine"),
                *_ways("off", "pooled(50)", "ema(0.3, batch=10)"),
            ),
            store="streams",
        ),
        *(
            Command(
                name=f"sensitivity by {by}",
                words=("sensitivity", *network, *rank, "--by", by, *rest),
                store="layers",
                pictures=("layers.png",) if by == "layer" else (),
            )
            for by, network, *rest in (
                ("layer", CIFAR_NET, "--figure", "layers.png"),
                ("block", CIFAR_NET, "--keep", "0,1,3", "--targets", "kernel,norm_affine"),
                ("role", ("runs/digits",), "--targets", "kernel,bias,norm_affine"),
            )
        ),
        *(
            Command(
                name=f"explain {name}",
                words=("explain", *words, *why, "--out", f"explain-{name}.html"),
                pages=(f"explain-{name}.html",),
                pictures=("explain.png",) if "--figure" in words else (),
            )
            for name, *words in (
                (
                    *("cifar", *CIFAR_NET, "--images", "60", "--figure", "explain.png"),
                    *_ways("match(20)", "pooled(20)"),
                ),
                ("vit", "own-nets/cifar10-vit", "--model", "vit:tiny", "--images", "40"),
                ("masks", "runs/masks", *_ways("layerwise(4)")),
                (
                    *("boxes", "own-nets/bccd-fcos", "--data-dir", "scenes", "--images", "2"),
                    *_ways("blend(2, prior=4)"),
                ),
            )
        ),
    ]


def _study() -> list[Command]:
    """A study from nothing, and the reports of those whose rows are kept."""
    out = ("--out", "tiny")
    shown = ("report.html", "report.md")
    return [
        Command(
            name="study run",
            words=("study", "run", "tiny.toml", *out),
            files=("tiny/weights/*/weights.safetensors",),
            has_json=False,
        ),
        Command(name="study status", words=("study", "status", "tiny.toml", *out)),
        Command(
            name="study report",
            words=("study", "report", "tiny.toml", *out),
            pages=tuple(f"tiny/{page}" for page in shown),
        ),
        *(
            Command(
                name=f"study report {name}",
                words=(
                    *("study", "report", f"studies/{name}/study.toml", "--profile", "quick"),
                    *("--out", f"study-{name}"),
                ),
                pages=tuple(f"study-{name}/{page}" for page in shown),
            )
            for name in STUDIES
        ),
    ]


def _readers() -> list[Command]:
    """Each store as a page and as a table; `rows-NAME.csv` is what rows are read from."""
    pages = [
        Command(
            name=f"report {store}",
            words=("report", f"{store}.db", "--out", f"{store}.html")
            + (("--figure", f"{store}.png") if store in ("cifar", "designs") else ()),
            pages=(f"{store}.html",),
            pictures=(f"{store}.png",) if store in ("cifar", "designs") else (),
        )
        for store in STORES
    ]
    stores = {store: f"{store}.db" for store in STORES} | {"tiny": "tiny/rows.db"}
    return pages + [
        Command(name=f"export {name}", words=("export", path, "--out", f"rows-{name}.csv"))
        for name, path in stores.items()
    ]


def _listings() -> list[Command]:
    topics = ("models", "norms", "noises", "recalibrations", "designs", "datasets")
    touched = ("--noise", "gaussian(0.1, reference=std)", "--targets", "kernel,norm_affine")
    return [
        *(Command(name=f"info {topic}", words=("info", topic)) for topic in topics),
        *(
            Command(name=f"info model {' '.join(words)}", words=("info", "model", *words))
            for words in (
                ("resnet20", *touched),
                ("resnet14", "--norm", "batch_range", "--norm-where", "last:1/3"),
                ("vgg16", "--norm", "group", *touched),
                ("lraspp",),
                ("fcos", "--noise", "stuck(0.1)", "--targets", "bias,norm_stats,other"),
                ("torchvision:squeezenet1_0",),
            )
        ),
        Command(name="version", words=("--version",), has_json=False),
        Command(name="help", words=("--help",), has_json=False),
        *(
            Command(name=f"help {' '.join(words)}", words=(*words, "--help"), has_json=False)
            for words in (
                *((name,) for name in (*COMMANDS, "info", "study")),
                *(("study", name) for name in STUDY_COMMANDS),
            )
        ),
    ]


def _mistakes() -> list[Command]:
    """What users get wrong: a sentence and an exit code each."""
    measure = ("measure", "runs/digits", "--store", "none.db")
    found = (
        (*measure, "--noise", "gauss(0.1)"),
        (*measure, "--noise", "gaussian(-1)"),
        (*measure, "--targets", "weights"),
        (*measure, "--recalibrate", "pool(3)"),
        (*measure, "--design", "nested(1)"),
        (*measure, "--design", "per-image", "--noise", "lognormal(0.1)"),
        (*measure, "--design", "per-image", "--recalibrate", "batch(8)"),
        (*measure, "--chips", "0"),
        (*measure, "--data", "digit"),
        (*measure, "--norm", "none"),
        ("measure", "runs/nothing"),
        ("track", "runs/digits", "--store", "none.db", "--recalibrate", "match(10)"),
        ("sensitivity", "runs/digits", "--store", "none.db", "--by", "channel"),
        ("explain", "runs/digits", "--recalibrate", "batch(8)"),
        ("report", "nothing.db"),
        ("export", "digits.db", "--out", "rows.txt"),
        ("info", "model", "resnet21"),
        ("study", "report", "tiny.toml", "--profile", "slow"),
        ("study", "status", "own_code.py"),
    )
    return [
        Command(name=f"mistake: {' '.join(words)}", words=words, has_json=False) for words in found
    ]
