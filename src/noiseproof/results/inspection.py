"""What a look at a network finds before it is measured. No torch here."""

from dataclasses import asdict, dataclass, field
from typing import Any

from noiseproof import stats
from noiseproof.results.clean import clean_document, clean_sentence, sees_nothing
from noiseproof.results.curves import network_line, provenance_of
from noiseproof.results.rows import Row
from noiseproof.results.showing import Shown, Summary


@dataclass(frozen=True, kw_only=True)
class DesignCost:
    """What one level of noise costs under a design, as timed; `refused`: why it does not hold."""

    design: str
    units: str
    seconds: float | None
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """The labels' numbers and the network's outputs. `predicted`: how many classes it calls."""

    lowest: int
    highest: int
    there: int
    outputs: int
    predicted: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Inspection(Shown):
    """A network before it is measured: `clean` is its row without noise; `macs` and `weights` are
    the shares that noise on kernels reaches, None where no pass could be watched; `left_out` says
    what it cannot, "" where next to nothing."""

    clean: Row
    macs: float | None
    weights: float | None
    left_out: str
    layers: int
    randomness: str
    labels: LabelFacts | None
    doubts: tuple[str, ...]  # what is clearly better than a clean score near chance
    dtypes: tuple[tuple[str, int], ...]  # kind of number, elements
    norms: tuple[tuple[str, int, str], ...]  # kind, how many, where the statistics lie
    clean_seconds: float
    costs: tuple[DesignCost, ...] = field(default=())

    @property
    def warnings(self) -> list[str]:
        """What should be looked at before anything is measured."""
        found = [self.left_out] if self.left_out else []
        if sees_nothing(self.clean):
            found.append(
                "the clean score is not told apart from chance: look at the weights, the pixel "
                "scale, the order of the colours and the numbers of the classes"
            )
        found += self.doubts
        if self.labels is not None and self.labels.predicted == 1 < self.labels.there:
            found.append("one class is predicted for every input")
        if self.clean.nonfinite:
            found.append(f"{self.clean.nonfinite:,} clean outputs are not finite")
        if self.randomness == "seeded":
            found.append("the forward pass is random by itself: named streams make it repeatable")
        if self.randomness == "loose":
            found.append(
                "the forward pass is random by itself, and no seed makes it repeatable: look for "
                "generators of its own, and for what it remembers from pass to pass"
            )
        return found

    def summary(self) -> Summary:
        """One screen."""
        row = self.clean
        return Summary(
            title=[network_line(row), *(f"WARNING: {text}" for text in self.warnings)],
            heads=["", ""],
            lines=[[name, text] for name, text in self._facts() if text],
            note="Costs are of one level of noise, timed on few images; each further level costs "
            "as much, and each way to recalibrate too.",
        )

    def _facts(self) -> list[tuple[str, str]]:
        facts = self.clean.facts
        costs = [
            (
                one.design,
                one.refused
                if one.seconds is None
                else f"{one.units}: {stats.duration(one.seconds)}",
            )
            for one in self.costs
        ]
        return [
            ("clean", clean_sentence(self.clean).removeprefix("clean ")),
            (
                "chance",
                ""
                if facts.chance is None
                else f"{self.clean.unit.value(facts.chance)}{self.clean.unit.sign}",
            ),
            ("labels", self._labels_text),
            ("reached", self._reached_text),
            ("random forward", {"none": "no", "seeded": "yes, seeded"}.get(self.randomness, "yes")),
            ("non-finite", f"{self.clean.nonfinite:,} of {self.clean.images:,} clean outputs"),
            ("numbers", ", ".join(f"{kind} ({count:,})" for kind, count in self.dtypes)),
            ("normalisation", self._norms_text),
            ("clean pass", f"{stats.duration(self.clean_seconds)} on {self.clean.device}"),
            *costs,
        ]

    @property
    def _labels_text(self) -> str:
        if self.labels is None:
            return ""
        one = self.labels
        return (
            f"{one.there} classes, {one.lowest} to {one.highest}; the network has {one.outputs} "
            f"outputs and predicts {one.predicted} of them"
        )

    @property
    def _reached_text(self) -> str:
        names = {"multiply-accumulates": self.macs, "weights": self.weights}
        shown = [
            f"{100 * share:.4g} % of the {name}"
            for name, share in names.items()
            if share is not None
        ]
        return f"{', '.join(shown) or 'nothing'}, in {self.layers} layers"

    @property
    def _norms_text(self) -> str:
        told = [
            f"{count} {kind}" + (f" ({where})" if where else "")
            for kind, count, where in self.norms
        ]
        return "; ".join(told) or "none"

    def records(self) -> list[dict[str, Any]]:
        """An entry for each design."""
        return [asdict(one) | provenance_of(self.clean) for one in self.costs]

    def as_json(self) -> dict[str, Any]:
        """The document that `info network --json` prints."""
        row = self.clean
        return {
            "clean": clean_document(row),
            "chance": row.facts.chance,
            "doubts": list(self.doubts),
            "labels": None if self.labels is None else asdict(self.labels),
            "reached": {"macs": self.macs, "weights": self.weights, "layers": self.layers},
            "left_out": self.left_out,
            "random_forward": self.randomness,
            "nonfinite": row.nonfinite,
            "numbers": dict(self.dtypes),
            "normalisation": [
                {"kind": kind, "layers": count, "statistics": where}
                for kind, count, where in self.norms
            ],
            "clean_seconds": self.clean_seconds,
            "costs": [asdict(one) for one in self.costs],
            "warnings": self.warnings,
            "provenance": provenance_of(row),
        }
