"""The report as plain values for JSON; nan is None."""

from typing import Any

from noiseproof import stats
from noiseproof.results import number_or_none
from noiseproof.study.hulls import HullCell
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.hulls import HULL_SAYS, Hulled
from noiseproof.study.report.progress import NetworkLine
from noiseproof.study.report.published import Beside, Matched
from noiseproof.study.verdicts import Cell, Side

Json = dict[str, Any]


def document_of(report: StudyReport) -> Json:
    """Verdict of each comparison with its cells, the source's figures, and the networks."""
    study, progress = report.study, report.progress
    return {
        "study": study.name,
        "title": study.title,
        "claim": {"text": study.claim.text, "source": study.claim.source},
        "profile": report.profile,
        "command": report.command,
        "verdict": dict(zip(("kind", "text"), report.verdict, strict=True)),
        "finished": progress.is_finished,
        "curves": {
            "planned": progress.curves,
            "done": progress.done,
            "begun": progress.begun,
            "of failed trainings": progress.failed,
        },
        "missing": list(progress.gaps),
        "comparisons": [
            (_hull(one) if isinstance(one, Hulled) else _comparison(one))
            | {"decides": one in report.parts}
            for one in report.compared
        ],
        "published": [_beside(one) for one in report.beside],
        "matched": [_matched(one) for one in report.matched],
        "other_profiles": [
            {
                "profile": one.profile,
                "finished": one.progress.is_finished,
                "verdict": dict(zip(("kind", "text"), one.verdict, strict=True)),
                "comparisons": [
                    {
                        "question": part.comparison.question,
                        "kind": part.verdict.kind,
                        "text": part.verdict.text,
                    }
                    for part in one.compared
                ],
            }
            for one in report.others
        ],
        "networks": [_network(one) for one in report.networks],
        "provenance": dict(report.provenance),
    }


def _comparison(compared: Compared) -> Json:
    comparison, verdict = compared.comparison, compared.verdict
    return {
        "question": comparison.question,
        "kind": verdict.kind,
        "text": verdict.text,
        "score": comparison.score,
        "levels": [list(levels) for levels in compared.levels],
        "unit": comparison.unit,
        "margin": comparison.margin,
        "peak": comparison.peak,
        "hull": False,
        "by": list(comparison.by),
        "read_together": compared.is_together,
        "confidence_together": compared.confidence,
        "cells": [_cell(cell, compared) for cell in compared.cells],
        "peaks": [{"at": dict(at), "says": word} for at, word in compared.peaks],
        "not_compared": list(compared.absent),
    }


def _cell(cell: Cell, compared: Compared) -> Json:
    return {
        "at": dict(cell.at),
        "better": side_of(cell.better),
        "worse": side_of(cell.worse),
        "paired": cell.is_paired,
        "difference": stats.as_json(cell.difference()),
        "says": cell.says(),
        "difference_together": stats.as_json(cell.difference(together=True)),
        "says_together": cell.says(together=True),
        "counts_as": compared.word(cell),
    }


def _hull(hulled: Hulled) -> Json:
    comparison, verdict = hulled.comparison, hulled.verdict
    return {
        "question": comparison.question,
        "kind": verdict.kind,
        "text": verdict.text,
        "score": comparison.score,
        "levels": [list(one) for one in dict.fromkeys(cell.levels for cell in hulled.cells)],
        "unit": comparison.unit,
        "margin": comparison.margin,
        "hull": True,
        "nonfinite": comparison.nonfinite,
        "by": list(comparison.by),
        "read_together": hulled.is_together,
        "confidence_together": hulled.confidence,
        "definitions": [
            {
                "at": dict(one.at),
                "says": one.says(),
                "says_together": one.says(together=True),
                "counts_as": HULL_SAYS[one.says(together=hulled.is_together)],
            }
            for one in verdict.definitions
        ],
        "cells": [_hull_cell(cell, hulled) for one in hulled.hull_sets for cell in one.cells],
        "not_compared": list(hulled.absent),
    }


def _hull_cell(cell: HullCell, hulled: Hulled) -> Json:
    return {
        "at": dict(cell.at),
        "sets": cell.sets,
        "sides": [
            {
                "what": side.figure.what,
                "published": side.figure.percent,
                "where": dict(side.figure.where),
                "selection": dict(side.selection),
                "n": len(side.networks),
                "missing": side.missing,
                "chips": list(side.chips),
            }
            for side in cell.sides
        ],
        "levels": [0.0, *cell.levels],
        "curve": [[float(share) for share in point] for point in cell.curve],
        "distance": stats.as_json(cell.distance()),
        "says": cell.says(),
        "distance_together": stats.as_json(cell.distance(together=True)),
        "says_together": cell.says(together=True),
        "counts_as": HULL_SAYS[hulled.word(cell)],
        "at_least_between_levels": cell.between,
        "largest_step": cell.step,
    }


def side_of(side: Side) -> Json:
    return {
        "selection": dict(side.selection),
        "n": len(side.values),
        "missing": side.missing,
        **stats.as_json(side.interval),
    }


def _beside(beside: Beside) -> Json:
    published = beside.published
    return {
        "what": published.what,
        "percent": published.percent,
        "side": published.side,
        "where": dict(published.where),
        "combinations": beside.combinations,
        "measured": [
            {
                "at": dict(found.at),
                "which": found.which or None,
                "n": found.n,
                **stats.as_json(found.interval),
            }
            for found in beside.found
        ],
    }


def _matched(matched: Matched) -> Json:
    return {
        "where": dict(matched.first.where),
        "published": [matched.first.percent, matched.second.percent],
        "sides": [matched.first.side, matched.second.side],
        "matches": [
            {
                "at": dict(match.at),
                "level": match.level,
                "n": match.second,
                "beyond": match.beyond or None,
                "first_side_keeps_at_most_level": number_or_none(match.reach),
                **stats.as_json(match.kept),
            }
            for match in matched.matches
        ],
    }


def _network(line: NetworkLine) -> Json:
    fact, clean = line.fact, line.clean
    return {
        "name": line.network.name,
        "state": line.state,
        "factors": dict(line.network.factors),
        "clean": None if clean is None else number_or_none(clean),
        "learned": None if clean is None or not line.classes else not line.has_not_learned,
        "epochs": 0 if fact is None else fact.epochs,
        "seconds": 0.0 if fact is None else number_or_none(fact.seconds),
        "device": "" if fact is None else fact.device,
        "failed": "" if fact is None else fact.failed,
        "sha256": "" if fact is None else fact.sha256,
    }
