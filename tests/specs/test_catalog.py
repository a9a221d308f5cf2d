"""What can be named, and the size that a name may ask for."""

import pytest

from noiseproof.specs import catalog
from noiseproof.specs.catalog import check_dataset, parse_size


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("camvid", ("camvid", None)),
        ("camvid@180x240", ("camvid", (180, 240))),
        ("masks:/a@b/c@90x120", ("masks:/a@b/c", (90, 120))),
        ("voc:/a:b@2x8192", ("voc:/a:b", (2, 8192))),
        ("masks:/a@90", ("masks:/a@90", None)),
        ("folder:/photos@10x10", ("folder:/photos@10x10", None)),
        ("package.module:loader@10x10", ("package.module:loader@10x10", None)),
    ],
)
def test_a_size_stands_behind_the_name_of_scenes(
    name: str, parsed: tuple[str, tuple[int, int] | None]
) -> None:
    assert parse_size(name) == parsed


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cifar10@10x10", "data set cifar10 has one size: leave @10x10 out"),
        ("camvid@0x5", "a size must be between 2 and 8192 pixels, got 0x5"),
        ("camvid@5x1", "a size must be between 2 and 8192 pixels, got 5x1"),
        ("voc:/a@9x8193", "a size must be between 2 and 8192 pixels, got 9x8193"),
        ("camvid@tall", "unknown data set 'camvid@tall': expected one of bccd, camvid"),
        ("NAME@HxW", "unknown data set 'NAME@HxW'"),
        ("camvid@-5x5", "unknown data set 'camvid@-5x5'"),
        ("folder:", "data set folder: has an empty path: name one, as in folder:PATH"),
        ("masks:", "data set masks: has an empty path"),
        ("cifar11", "unknown data set 'cifar11': expected one of .*cifar10, "),
    ],
)
def test_a_wrong_name_of_data_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_dataset(name)


def test_every_task_is_one_that_can_be_asked_for() -> None:
    own = {"regress", "tokens"}  # of data of one's own alone
    assert {facts.task for facts in catalog.DATASETS.values()} | own == set(catalog.TASKS)


def test_what_is_described_is_described_in_words() -> None:
    for names in (catalog.MODELS, catalog.OUTSIDE_MODELS, catalog.NORMS, catalog.OUTSIDE_DATASETS):
        assert all(isinstance(about, str) and about for about in names.values())
    assert not catalog.DATASETS.keys() & catalog.OUTSIDE_DATASETS.keys()


@pytest.mark.parametrize("name", sorted(catalog.DATASETS))
def test_facts_of_a_data_set_fit_each_other(name: str) -> None:
    facts = catalog.DATASETS[name]
    assert len(facts.mean) == len(facts.std) == facts.channels
    assert facts.task != "classify" or facts.size is None
