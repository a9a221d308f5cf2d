"""Which rows of a store are of the network at hand: the name that it has there already, or a new
one."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

from noiseproof.core.checks import RandomForwardWarning, StoreWarning
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.identity import Randomness
from noiseproof.results import Figures, Row, Store, agree, is_clean, parse_computes, same_but_code
from noiseproof.tasks import Result

SAME_DEVICE, OTHER_DEVICE = 1000, 200
"""One in so many images may be a hit on one side only, where the rounding of its pass decides; what
has no hits may differ by as much."""
REASONS = {
    Randomness.SEEDED: "each is repeatable, and what they differ by is counted",
    Randomness.LOOSE: "not by torch's, numpy's or Python's default generators, or it remembers the "
    "passes before: no two runs will agree",
}


def settled(evaluator: Evaluator, store: Store | None) -> tuple[Evaluator, list[Row]]:
    """The evaluator, its rows named as those of the same network in `store`, and what there is of
    these weights. Older rows do not say what their network computed: they count where the network
    of today scores what it did, and say so from then on.

    Warns:
        StoreWarning: of rows of other code.
    """
    if store is None:
        return evaluator, []
    evaluator = _with_score(evaluator)
    known = store.rows(checkpoint=evaluator.clean_row.checkpoint)
    ours = [row for row in known if same_but_code(row) == same_but_code(evaluator.clean_row)]
    texts = dict.fromkeys(row.computes for row in ours)
    same = next((text for text in texts if agree(text, evaluator.clean_row.computes)), None)
    if same is not None:
        return named(evaluator, same), known
    old = [row for row in ours if not row.computes]
    if old and not is_renamed(evaluator):
        evaluator = replace(evaluator, known_clean=evaluator.clean_score())
        if scores_the_same(evaluator, old):
            store.stamp(evaluator.clean_row)
            return evaluator, store.rows(checkpoint=evaluator.clean_row.checkpoint)
    if ours:
        warnings.warn(_of_other_code(store, evaluator, ours), StoreWarning, stacklevel=5)
    return evaluator, known


def named(evaluator: Evaluator, computes: str) -> Evaluator:
    """The evaluator, its rows with that text."""
    return replace(evaluator, clean_row=replace(evaluator.clean_row, computes=computes))


def is_renamed(evaluator: Evaluator) -> bool:
    """Have its tensors other dice than before dice were named without wrappers, so that older rows
    are of other chips?"""
    return any(
        place.dice not in ("", name) and place.role != "constant"
        for name, place in evaluator.places.items()
    )


def scores_the_same(evaluator: Evaluator, old: Sequence[Row]) -> bool:
    """Does the clean network score what a clean row among `old` says, but for rounding?"""
    found = evaluator.known_clean
    clean = next((row for row in old if is_clean(row) and row.part == "all"), None)
    if found is None:
        return False
    if clean is None:
        return _ranked_the_same(found, old)
    room = SAME_DEVICE if clean.device == evaluator.clean_row.device else OTHER_DEVICE
    if found.hits is None or not clean.hits:
        return abs(found.score - clean.score) <= max(abs(clean.score), 1e-9) / room
    before = clean.unpacked()
    different = (before != found.hits).sum() if len(before) == len(found.hits) else len(before)
    return bool(different <= len(before) // room)


def _ranked_the_same(found: Result, old: Sequence[Row]) -> bool:
    """The same of the clean blocks of a ranking, which together are all images, each once."""
    blocks = {(row.seed, row.chip): row for row in old if is_clean(row) and row.correct is not None}
    of_one = [row for (seed, _), row in blocks.items() if seed == next(iter(blocks))[0]]
    if found.hits is None or sum(row.images for row in of_one) != len(found.hits):
        return False
    right = sum(row.correct or 0 for row in of_one)
    return abs(right - int(found.hits.sum())) <= len(found.hits) // SAME_DEVICE


def _with_score(evaluator: Evaluator) -> Evaluator:
    """A score of one's own is a part of what is computed: the clean one joins the figures."""
    computes = parse_computes(evaluator.clean_row.computes)
    if evaluator.own_score is None or computes is None:
        return evaluator
    found = clean_result(evaluator)
    score = Figures(scale=abs(found.score), values=(found.score,))
    text = str(replace(computes, figures=(*computes.figures, score)))
    return named(replace(evaluator, known_clean=found), text)


def clean_result(evaluator: Evaluator) -> Result:
    """Its clean score, one pass under dice of its own."""
    with evaluator.seeded(0, "clean", 0):
        return evaluator.clean_score()


def _of_other_code(store: Store, evaluator: Evaluator, ours: Sequence[Row]) -> str:
    older = sum(not row.computes for row in ours)
    what = "what their network computed is not known, or is another thing today"
    if not older:
        what = "the network of these weights computes something else today"
    return f"{store.path} has {len(ours):,} rows that are not used, since {what}: measured anew"


def warn_of_dice(evaluator: Evaluator) -> None:
    """Tell once of a network that is random by itself."""
    if not evaluator.is_random:
        return
    warnings.warn(
        f"two passes of the same inputs through this {type(evaluator.skeleton).__name__} differ: "
        f"its forward pass is random by itself; {REASONS[evaluator.randomness]}",
        RandomForwardWarning,
        stacklevel=5,
    )
