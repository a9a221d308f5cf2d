"""Training from scratch: one visible loop, a checkpoint after every epoch, a bit-exact resume.

Every random choice of epoch e comes from the streams (seed, "order" | "augment" | "dropout", e),
so the state on the disk is weights, optimiser and epoch, and nothing else has to be restored.
"""

import io
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from noiseproof.core.device import device_name, pick_device, sent, using_threads
from noiseproof.core.files import not_empty, replacing
from noiseproof.core.inputs import Inputs, device_of_inputs, map_tensors, rows, tensors, to
from noiseproof.core.rng import seeded, stream
from noiseproof.core.version import __version__
from noiseproof.data import Source, Split, scaled
from noiseproof.models import Card, build, file_sha256, round_kernels_, save_weights, write_card
from noiseproof.specs import PixelScale, Plan
from noiseproof.tasks import TASKS, Result, check_classes, check_fits, evaluate, whole_numbers
from noiseproof.training.progress import OnProgress, Progress, Tally
from noiseproof.training.resume import (
    RESUME,
    WEIGHTS,
    check_same,
    finished,
    identity_of,
    read_resume,
)

NEAR_BYTES = 2 << 30  # of images that are copied to a GPU as a whole, to be augmented there


def train(
    plan: Plan,
    source: Source,
    out: str | Path,
    *,
    device: str = "auto",
    threads: int | str | None = None,
    on_progress: OnProgress | None = None,
) -> Card:
    """Train `plan` on `source` and leave `weights.safetensors` and its card in the folder `out`.

    Killed and called again, it goes on after the last whole epoch and ends in the same weights,
    bit for bit (on the same machine). A finished run is not trained again.

    `threads`: of the CPU, a number, or auto: as many as there are free cores; None: torch's own
    number. Unless it is a number, a training goes on with as many as it was begun with, since sums
    differ in their last bits with it.

    - `plan`: model, normalisation, recipe and seed, which decide the weights.
    - `source`: the data set, as `open_dataset` gives it.
    - `out`: the folder, of this run alone.
    - `device`: auto (default), cpu, cuda or mps.
    - `on_progress`: hears the epoch, the step, the loss.

    Raises:
        ValueError: for an `out` that holds another run, or a loss that is no longer finite.
    """
    card = advance(plan, source, out, device=device, threads=threads, on_progress=on_progress)
    assert card is not None
    return card


def advance(
    plan: Plan,
    source: Source,
    out: str | Path,
    *,
    epochs: int | None = None,
    device: str = "auto",
    threads: int | str | None = None,
    on_progress: OnProgress | None = None,
    look_every: int | None = None,
) -> Card | None:
    """Train on in the folder `out`, as `train` does with the same arguments; the card once it is
    finished.

    - `epochs`: how many more (default: to the end).
    - `look_every`: steps between two looks at the loss, after which `on_progress` is called
      (default: as suits the device).
    """
    folder, where = not_empty("out", out), pick_device(device)
    weights, resume = folder / WEIGHTS, folder / RESUME
    model = _build(plan, source).to(where)
    if where.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    identity = identity_of(plan, source)
    done = finished(folder, plan, source)
    if done is not None:
        return done
    split, test = source.read("train"), source.read("test")
    for part in (split, test):
        check_fits(model, part, source.scale)
        check_classes(part, source.classes)
    fitting = _Fitting(model, plan, len(split))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror}") from None
    fitting.restore_(resume, identity)
    last = plan.recipe.epochs if epochs is None else fitting.epoch + epochs
    near = _near(split, where)
    begun = threads if isinstance(threads, int) else fitting.threads or threads
    with using_threads(begun):
        for epoch in range(fitting.epoch, min(last, plan.recipe.epochs)):
            _one_epoch_(fitting, epoch, near, source, where, on_progress, look_every)
            # Whole epochs only: inside of one the streams of its dice
            # would have a state of their own.
            fitting.save(resume, identity)
        if fitting.epoch < plan.recipe.epochs:
            return None
        card = _finish(fitting, plan, source, test, weights, where)
    # Last: killed before this, the next call finds the card and ends at once.
    resume.unlink(missing_ok=True)
    return card


def _build(plan: Plan, source: Source) -> nn.Module:
    return build(
        plan.model,
        norm=plan.norm,
        where=plan.norm_where,
        classes=source.classes,
        channels=source.channels,
        seed=plan.seed,
    )


class NotFiniteError(ValueError):
    """A training whose loss, or rounded weights, are no longer finite: it would end so again."""


class _Fitting:
    """The moving parts of a training: model, optimiser, schedule, epoch, seconds spent."""

    def __init__(self, model: nn.Module, plan: Plan, images: int) -> None:
        recipe = plan.recipe
        self.model, self.plan, self.epoch, self.seconds = model, plan, 0, 0.0
        # With the same tensors, which keep their own names: what is saved is the model itself. Not
        # for sizes that vary: the last, smaller batch gets code of its own, as fast as the others.
        self.run = model
        if recipe.compiled:
            self.run = cast(nn.Module, torch.compile(model, dynamic=False))
        self.threads: int | None = None  # that it was begun with
        self.steps = len(_batches(torch.arange(images), recipe.batch_size))
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            # torch refuses Nesterov's step without a momentum.
            nesterov=recipe.momentum > 0,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=recipe.lr,
            # One more: the constructor takes the first step itself, and the one after the last
            # batch would otherwise run past the end of the cycle.
            total_steps=recipe.epochs * self.steps + 1,
            # Else it would put its own momentum in place of the recipe's.
            cycle_momentum=False,
        )

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write all of it, whole or not at all."""
        content = {
            "identity": identity,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "threads": torch.get_num_threads(),
        }
        buffer = io.BytesIO()  # torch.save reports a full disk as a RuntimeError of its own
        torch.save(content, buffer)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getvalue())

    def restore_(self, path: Path, identity: dict[str, Any]) -> None:
        """Go on from `path`, if it is there."""
        if not path.is_file():
            return
        content = read_resume(path)
        check_same(content["identity"], identity, path.parent)
        self.epoch, self.seconds = content["epoch"], content["seconds"]
        self.threads = content.get("threads")
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])


def _near(split: Split, device: torch.device) -> Split:
    """The inputs on the device, where they can be changed there and fit easily. Labels stay:
    a `Split` looks at them, and a look waits for the device."""
    size = len(split) * sum(tensor.nbytes for tensor in tensors(split.part(0, 1).inputs))
    if device.type == "cpu" or not TASKS[split.task].changes_near or size > NEAR_BYTES:
        return split
    return split.with_inputs(to(split.inputs, device))


def _batch(split: Split, places: Tensor) -> Split:
    """The samples at `places`, wherever they lie."""
    device = device_of_inputs(split.part(0, 1).inputs)
    if device.type == "cpu":
        part = split.take(places)
        return part.with_inputs(part.inputs)  # read once, where they are read when needed
    # Inputs and labels lie apart (`_near`): each is indexed where it lies.
    inputs = rows(split.inputs, sent(places, device))
    return Split(inputs=inputs, labels=whole_numbers(split.labels)[places])


def _laid_out(x: Inputs, device: torch.device) -> Inputs:
    """Network inputs as a device takes them fastest: images channels last on a GPU."""
    if device.type != "cuda":
        return x
    flat = torch.channels_last
    return map_tensors(x, lambda t: t.contiguous(memory_format=flat) if t.dim() == 4 else t)


def _one_epoch_(
    fitting: _Fitting,
    epoch: int,
    split: Split,
    source: Source,
    device: torch.device,
    on_progress: OnProgress | None,
    look_every: int | None,
) -> None:
    """The loop: forward, backward, step, over all images once in the order of this epoch."""
    plan, recipe, model = fitting.plan, fitting.plan.recipe, fitting.model
    task = TASKS[split.task]
    bf16 = device.type == "cuda" if recipe.bf16 is None else recipe.bf16
    started, tally = time.perf_counter(), Tally(device, look_every)
    order = torch.randperm(len(split), generator=stream(plan.seed, "order", epoch))
    dice = stream(plan.seed, "augment", epoch)
    model.train()
    with seeded(plan.seed, "dropout", epoch):
        for step, places in enumerate(_batches(order, recipe.batch_size)):
            batch = _batch(split, places)
            if recipe.augment:
                batch = task.change(batch, source, dice)
            there = map_tensors(batch.inputs, lambda tensor: sent(tensor, device))
            x = _laid_out(scaled(there, source.scale), device)
            # Forward and loss only: backward runs each operation in the dtype that its forward had.
            # bfloat16 has float32's range, so there is no loss to scale.
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss, share = task.loss(fitting.run, x, batch.labels)
            fitting.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip_gradient is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_gradient)
            fitting.optimizer.step()
            fitting.schedule.step()
            # Stays on the device; reading it, which waits, is for every so many steps.
            tally.add(loss.detach(), share, len(places))
            if not tally.is_due(step) and step < fitting.steps - 1:
                continue
            loss_so_far, accuracy = tally.read()
            # Written so that nan fails too.
            if not loss_so_far < float("inf"):
                raise NotFiniteError(
                    f"the loss is no longer finite in epoch {epoch + 1}: try a smaller "
                    f"learning rate than {recipe.lr:g}"
                )
            if on_progress is not None:
                spent = time.perf_counter() - started
                left = (fitting.steps - step - 1) + (recipe.epochs - epoch - 1) * fitting.steps
                on_progress(
                    Progress(
                        epoch=epoch + 1,
                        epochs=recipe.epochs,
                        step=step + 1,
                        steps=fitting.steps,
                        loss=loss_so_far,
                        accuracy=accuracy,
                        images_per_second=tally.images / spent,
                        seconds_left=left * spent / (step + 1),
                    )
                )
    fitting.epoch = epoch + 1
    fitting.seconds += time.perf_counter() - started


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` in parts of `size`; a single image left over is left out, since it has no batch
    statistics."""
    parts = list(torch.split(order, size))
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts


def clean_result(model: nn.Module, split: Split, scale: PixelScale) -> Result:
    """What the model scores on `split` without noise, in evaluation mode."""
    # The batch of a GPU on every device: the last bits of a card's score depend on it.
    return evaluate(model, split, scale=scale, batch_size=TASKS[split.task].batch_size.elsewhere)


def _finish(
    fitting: _Fitting,
    plan: Plan,
    source: Source,
    test: Split,
    weights: Path,
    device: torch.device,
) -> Card:
    if plan.recipe.half:
        try:
            round_kernels_(fitting.model)
        except ValueError as error:
            raise NotFiniteError(str(error)) from None
    # After the rounding: the card's score is that of the weights in the file.
    clean = clean_result(fitting.model, test, source.scale)
    task = TASKS[test.task]
    card = Card(
        model=plan.model,
        norm=plan.norm,
        norm_where=plan.norm_where,
        data=source.name,
        scale=str(source.scale),
        classes=source.classes,
        channels=source.channels,
        names=test.names,
        recipe=asdict(plan.recipe),
        seed=plan.seed,
        epochs_done=fitting.epoch,
        task=test.task,
        clean_accuracy=clean.score if task.has_hits else None,
        clean_scores={task.metric: clean.score, **clean.details},
        clean_images=len(test),
        seconds=round(fitting.seconds, 1),
        device=device_name(device),
        versions=f"noiseproof {__version__}, torch {torch.__version__}",
        sha256=save_weights(fitting.model, weights, half=plan.recipe.half),
    )
    # After the weights, whose sha256 it holds: weights without a card count as unfinished.
    write_card(card, weights)
    assert card.sha256 == file_sha256(weights)
    return card
