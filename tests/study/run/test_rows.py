"""Running a study: the rows of `measure`."""

from collections.abc import Callable
from pathlib import Path

import torch

from noiseproof.core.rng import stream
from noiseproof.data.datasets import open_dataset
from noiseproof.measuring.curves import measure
from noiseproof.measuring.requests import Subject
from noiseproof.measuring.setup import calibration_from
from noiseproof.models import building as models
from noiseproof.models.checkpoint import file_sha256, fill, load_state
from noiseproof.results.rows import key_of
from noiseproof.results.store import Store
from noiseproof.study.facts import read_facts
from noiseproof.study.measured import measured_of
from noiseproof.training.resume import WEIGHTS
from tests.study.run.toy import HEAD, LITTLE, TRAININGS, Ran, rows_in, study_in

# --- the same rows --------------------------------------------------------------------------------


def test_a_study_ends_in_the_rows_of_measure(whole: Ran, tmp_path: Path) -> None:
    source = open_dataset("digits")
    test = source.read("test").first(100)
    with Store(tmp_path / "rows.db") as store:
        for task in whole.grid.tasks:
            network = task.network
            weights = whole.places.weights / network.name
            model = models.build(
                network.model, norm=network.norm, where=network.norm_where, classes=10, channels=1
            )
            fill(model, load_state(weights), name=network.name)
            calibration = calibration_from(source, 20, augment=True, seed=network.seed)
            measure(
                model,
                test,
                task.specs,
                design=task.design,
                chips=task.chips,
                passes=task.passes,
                precision=task.pace.precision,
                seed=network.seed,
                targets=task.targets,
                digital=task.digital,
                stats_as=task.stored.stats_as,
                fold_norm=task.stored.fold_norm,
                hardware=task.stored.hardware or None,
                mapping=str(task.stored.array),
                mvm=task.mvm,
                compensate=task.compensate,
                recalibrate=task.recalibrate,
                calibration=None if task.recalibrate == "off" else calibration,
                scale=source.scale,
                store=store,
                subject=Subject(
                    checkpoint=file_sha256(weights / WEIGHTS),
                    model=network.model,
                    norm=network.norm_text,
                    task="classify",
                    data="digits",
                    calibration="train augmented",
                ),
            )
    expected = rows_in(tmp_path)
    assert [key_of(row) for row in whole.rows] == [key_of(row) for row in expected]
    assert whole.rows == expected, "hits, scores, devices too"
    assert len({row.design for row in whole.rows}) >= 3
    assert {row.pace for row in whole.rows} == {"", "precision(0.05)"}


def test_the_facts_say_what_the_networks_are(whole: Ran) -> None:
    facts = read_facts(whole.places.out / "networks.json")
    assert facts.keys() == {network.name for network in whole.grid.networks}
    for place, network in enumerate(whole.grid.networks):
        fact = facts[network.name]
        assert fact.factors == network.factors
        assert (fact.sha256, fact.epochs) == (file_sha256(whole.weights(place)), 2)
        (clean,) = (r for r in whole.rows if (r.checkpoint, r.noise) == (fact.sha256, "none"))
        assert fact.clean == clean.score
        assert not fact.failed


def test_the_facts_know_the_clean_hits_on_each_units_own_images(whole: Ran) -> None:
    test = open_dataset("digits").read("test").first(100)
    for network in whole.grid.networks:
        fact = read_facts(whole.places.out / "networks.json")[network.name]
        own = [row for row in whole.rows if row.checkpoint == fact.sha256]
        (clean,) = (row.unpacked() for row in own if row.noise == "none")
        designs = {row.design for row in own} - {"chips"}
        assert fact.clean_hits.keys() == designs == {"nested(50)", "per-image(10)"}
        drawn = [torch.randperm(len(test), generator=stream(3, "nested images", u)) for u in (0, 5)]
        nested = fact.clean_hits["nested(50)"]
        assert len(nested) == 6
        assert [nested[0], nested[5]] == [clean[places[:50]].sum() for places in drawn]
        order = torch.randperm(len(test), generator=stream(3, "blocks of images"))
        blocks = [clean[places].sum() for places in order.view(10, 10)]
        assert fact.clean_hits["per-image(10)"][:10] == blocks


def test_every_curve_of_a_run_that_has_ended_is_found_whole(whole: Ran) -> None:
    facts = read_facts(whole.places.out / "networks.json")
    found = measured_of(whole.grid, facts, whole.rows)
    assert [one.task for one in found] == list(whole.grid.tasks)
    assert all(one.is_whole for one in found)
    for one in found:
        row, task = one.points[0].rows[0], one.task
        asked = (task.compensate, task.mvm, task.mapping, task.stored.form(task.targets))
        assert asked == (row.compensate or "off", row.mvm, row.mapping, row.stats_as)
        assert (row.recalibrate, row.digital) == (task.recalibrate, task.digital)


def test_progress_counts_to_the_end(whole: Ran) -> None:
    last = whole.news[-1]
    assert (last.trained, last.trainings, last.epochs, last.epochs_in_all) == (2, 2, 4, 4)
    assert last.rows == last.rows_in_all == sum(row.noise != "none" for row in whole.rows)
    assert [news.rows for news in whole.news] == sorted(news.rows for news in whole.news)


def test_a_run_that_has_ended_does_nothing_again(whole: Ran) -> None:
    with Store(whole.places.out / "rows.db", read_only=True) as store:
        before = store.rows()
    again = Ran(whole.places.beside / "study.toml")  # type: ignore[operator]
    assert (again.failures, again.steps) == ([], [])
    with Store(whole.places.out / "rows.db", read_only=True) as store:
        assert store.rows() == before, "seconds too: nothing was measured twice"


def test_a_way_to_recalibrate_by_another_name_is_found_again(tmp_path: Path) -> None:
    text = HEAD + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    ran = Ran(study_in(tmp_path, text + LITTLE + 'recalibrate = "20"\n'))
    facts = read_facts(ran.places.out / "networks.json")
    assert len(measured_of(ran.grid, facts, ran.rows)) == 2


def test_weights_of_one_folder_are_trained_once_for_two_studies(whole: Ran, tmp_path: Path) -> None:
    other = HEAD.replace('"toy"', '"other"') + TRAININGS + LITTLE
    ran = Ran(study_in(tmp_path, other), weights=whole.places.weights)
    assert (ran.failures, ran.steps) == ([], [])
    assert {row.checkpoint for row in ran.rows} == {row.checkpoint for row in whole.rows}


# --- killed ---------------------------------------------------------------------------------------


Start = Callable[..., int]
