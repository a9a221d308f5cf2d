"""Rows under conditions that a study file has no word for are none of its curves."""

from dataclasses import dataclass, fields
from typing import Annotated

from noiseproof.results.axes import Role, Since, schema_of
from noiseproof.results.rows import Row
from noiseproof.study import grid_of
from noiseproof.study.measured import measured_of
from tests.study.verdict_cases import CLEAN, facts_of, rows_of, study


@dataclass(frozen=True, kw_only=True)
class Later(Row):
    time: Annotated[str, Role.CONDITION, Since(schema_of(Row) + 1)] = ""


def test_rows_under_another_condition_do_not_answer_a_study() -> None:
    made = study(
        {"model": "resnet8", "seed": [0, 1]},
        {"levels": [0.1, 0.2], "chips": 2},
        order=[{"seed": 0}, {"seed": 1}],
    )
    grid = grid_of(made, "quick")
    fresh = rows_of(grid, lambda task, spec, chip: 0.3 + 0.1 * chip, lambda network: CLEAN)
    names = [one.name for one in fields(Row)]
    aged = [
        Later(time="1d", **{name: getattr(row, name) for name in names} | {"score": 0.0})
        for row in fresh
        if row.noise != "none"
    ]
    alone = measured_of(grid, facts_of(grid), fresh)
    together = measured_of(grid, facts_of(grid), [*fresh, *aged])
    assert [one.points for one in together] == [one.points for one in alone]
    assert [one.is_whole for one in together] == [True, True]
