"""Rows that grow: an axis and a column that came later, in a class of rows of the test's own."""

import sqlite3
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from noiseproof.measuring.units import _size_of
from noiseproof.report.page import render
from noiseproof.report.panels import panels_of
from noiseproof.report.words import short_names
from noiseproof.results.axes import FIRST, Role, Since, axes_of, schema_of
from noiseproof.results.curves import curves_of, way_of, where_of
from noiseproof.results.rows import Row, further, is_clean, key_of, network_key
from noiseproof.results.schema import axes_in, name_of
from noiseproof.results.sensitivity import rankings_of
from noiseproof.results.store import Store
from noiseproof.results.streams import traces_of
from tests.results.made import IMAGES
from tests.results.made import made as usual

NOW = schema_of(Row)


@dataclass(frozen=True, kw_only=True)
class Later(Row):
    """A program that came after this one: it knows the time since programming, and the heat."""

    time: Annotated[str, Role.CONDITION, Since(NOW + 1)] = "programmed"
    heat: Annotated[float, Since(NOW + 1)] = 20.0


@dataclass(frozen=True, kw_only=True)
class Compensated(Row):
    compensation: Annotated[str, Role.REMEDY, Since(NOW + 1)] = "off"


@dataclass(frozen=True, kw_only=True)
class Typed(Row):
    dtype: Annotated[str, Role.NETWORK, Since(NOW + 1)] = "float32"


class LaterStore(Store):
    kind: ClassVar[type[Row]] = Later


def made(kind: type[Row] = Row, chip: int = 0, **changes: Any) -> Row:
    """The usual row as one of `kind`."""
    known = {one.name for one in fields(Row)}
    row = usual(chip, **{name: value for name, value in changes.items() if name in known})
    later = {name: value for name, value in changes.items() if name not in known}
    return kind(**{name: getattr(row, name) for name in known} | later)


CLEAN: dict[str, Any] = {"noise": "none", "targets": "", "level": None}


def names_in(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    found = [name for (name,) in database.execute("SELECT name FROM measured ORDER BY rowid")]
    database.close()
    return found


def grown(row: Row) -> Row:
    return Later(**{one.name: getattr(row, one.name) for one in fields(row)})


# --- names ---------------------------------------------------------------------------------------


def test_the_name_of_a_row_is_what_it_always_was() -> None:
    """Changing this text would measure every row of every store again."""
    row = made(chip=3, design="nested(200)", norm='"Σ"')
    assert name_of(Row, key_of(row)) == (
        f'{{"calibration_sha256":"","checkpoint":"{"c" * 64}","chip":3,"data":"digits",'
        f'"data_sha256":"{"d" * 64}","design":"nested(200)","images":13,"model":"resnet8",'
        '"noise":"gaussian(0.1, reference=std, scope=tensor)","norm":"\\"\\u03a3\\"",'
        '"recalibrate":"off","scale":"0,1","seed":0,"targets":"kernel","task":"classify"}'
    )


def test_a_name_says_its_axes_again_but_for_those_at_their_default() -> None:
    row = made(chip=3, part="only:layer:conv1")
    found = axes_in(Row, name_of(Row, key_of(row)))
    assert found["part"] == "only:layer:conv1"
    assert "design" not in found
    assert made(**found) == row


def test_an_axis_at_its_default_adds_nothing_to_a_name() -> None:
    assert name_of(Later, key_of(made(Later))) == name_of(Row, key_of(made()))
    assert name_of(Later, key_of(made(Later, time="1d"))) != name_of(Row, key_of(made()))


def test_a_later_axis_needs_a_default() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Careless(Row):
        time: Annotated[str, Role.CONDITION, Since(NOW + 1)]

    with pytest.raises(AssertionError, match="old rows need a default of time"):
        axes_of(Careless)


def test_every_axis_of_today_is_there_from_the_first_schema_or_has_a_default() -> None:
    assert all(one.default == "" for one in axes_of(Row) if one.since > FIRST)
    assert {one.name for one in axes_of(Later)} - {one.name for one in axes_of(Row)} == {"time"}


# --- stores --------------------------------------------------------------------------------------


def test_a_store_takes_a_new_axis_and_a_new_column_and_measuring_goes_on(tmp_path: Path) -> None:
    path, old = tmp_path / "r.db", [made(chip=chip) for chip in range(3)]
    with Store(path) as store:
        store.add_all(old)
    names = names_in(path)
    with LaterStore(path) as later:
        assert later.rows() == [grown(row) for row in old]
        assert {(row.time, row.heat) for row in later.rows()} == {("programmed", 20.0)}  # type: ignore[attr-defined]
        later.add(made(Later, chip=1, heat=99.0))  # is there already, named without its time
        later.add(made(Later, chip=1, time="1d", heat=35.0))
        assert later.rows() == [
            *(grown(row) for row in old),
            made(Later, chip=1, time="1d", heat=35),
        ]
    assert names_in(path)[:3] == names
    with LaterStore(path, read_only=True) as again:
        assert len(again.rows(checkpoint="c" * 64)) == 4


def test_reading_an_older_store_fills_in_what_it_does_not_have_and_leaves_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.db"
    with Store(path) as store:
        store.add(made())
    before = path.read_bytes()
    with LaterStore(path, read_only=True) as later:
        assert later.rows() == [made(Later)]
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_a_later_program_is_refused_with_what_to_do(
    tmp_path: Path, read_only: bool
) -> None:
    path = tmp_path / "r.db"
    with LaterStore(path) as later:
        later.add(made(Later))
    sentence = rf"r.db has schema {NOW + 1}, noiseproof \S+ reads 3 to {NOW}: update noiseproof, or"
    with pytest.raises(ValueError, match=sentence):
        Store(path, read_only=read_only)


# --- a condition tells everything apart ----------------------------------------------------------


def at_two_times(*rows: Row) -> list[Row]:
    return [replace(grown(row), time=time) for time in ("programmed", "1d") for row in rows]  # type: ignore[call-arg]


def test_curves_that_differ_in_a_new_axis_alone_are_two() -> None:
    chips = at_two_times(*(made(chip=chip) for chip in range(3)))
    curves = curves_of([made(Later, **CLEAN), *chips])
    assert [len(curve.points[0].rows) for curve in curves] == [3, 3]
    assert [where_of(curve.first) for curve in curves] == ["kernel", "kernel, time 1d"]


def test_streams_that_differ_in_a_new_axis_alone_are_two() -> None:
    windows = [made(stream="redraw(every=13)", seen=seen) for seen in (0, IMAGES)]
    traces = traces_of(at_two_times(*windows))
    assert [(len(trace.rows), where_of(trace.first)) for trace in traces] == [
        (2, "kernel"),
        (2, "kernel, time 1d"),
    ]


def test_rankings_that_differ_in_a_new_axis_alone_are_two() -> None:
    facts = '{"groups": 2, "weights": 5, "macs": 7, "blocks": 1}'
    blocks: dict[str, Any] = {"design": "per-image", "details": facts}
    groups = [made(part=f"only:layer:{name}", **blocks) for name in ("conv1", "fc")]
    clean = made(Later, part="nothing", **blocks | CLEAN)
    rankings = rankings_of([clean, *at_two_times(*groups)])
    assert [where_of(ranking.first) for ranking in rankings] == ["kernel", "kernel, time 1d"]


def test_a_network_without_noise_under_another_condition_is_not_the_clean_one() -> None:
    aged = made(Later, 1, time="1d", **CLEAN)
    assert not is_clean(aged)
    curves = curves_of([aged, made(Later, **CLEAN), made(Later)])
    assert [curve.family.partition("(")[0] for curve in curves] == ["none", "gaussian"]
    assert [curve.clean for curve in curves] == 2 * [made(Later, **CLEAN)]


def test_the_size_of_nested_samples_is_that_of_the_same_condition() -> None:
    rows = [made(Later, design=f"nested({IMAGES})", time="1d")]
    assert _size_of(made(Later, time="1d"), rows) == (IMAGES, "as measured before")
    assert _size_of(made(Later), rows) is None


def test_the_report_shows_two_conditions_apart_and_says_which() -> None:
    curves = curves_of([made(Later, **CLEAN), *at_two_times(made(), made(chip=1))])
    panels = panels_of(curves, short_names([made(Later, **CLEAN)]))
    assert [panel.where for panel in panels] == ["kernel", "kernel, time 1d"]
    page = render(curves, source="r.db")
    assert "</code> on kernel</h2>" in page
    assert "</code> on kernel, time 1d</h2>" in page


# --- a remedy, a network -------------------------------------------------------------------------


def test_what_is_done_about_it_is_another_way_of_one_panel() -> None:
    plain = [made(Compensated, chip=chip) for chip in range(2)]
    rows = [*plain, *(replace(row, compensation="scalar") for row in plain)]  # type: ignore[call-arg]
    curves = curves_of([made(Compensated, **CLEAN), *rows])
    (panel,) = panels_of(curves, short_names([made(Compensated, **CLEAN)]))
    assert [way_of(curve.first) for curve in panel.curves] == ["off", "compensation scalar"]
    ((before, after, _),) = panel.pairs
    assert (before.first, after.first) == (rows[0], rows[2])


def test_two_networks_that_differ_in_a_new_axis_alone_have_each_their_clean_row() -> None:
    half: dict[str, Any] = {"dtype": "float16"}
    clean = [made(Typed, **CLEAN), made(Typed, **CLEAN | half)]
    curves = curves_of([*clean, made(Typed), made(Typed, **half)])
    assert [curve.clean for curve in curves] == clean
    names = short_names(clean)
    assert len(set(names.values())) == 2
    assert names[network_key(clean[1])].endswith("dtype float16")


def test_what_is_beyond_the_first_axes_is_said_by_role() -> None:
    assert further(made(Later), *Role) == {}
    assert further(made(Later, time="1d"), *Role) == {"time": "1d"}
    assert further(made(Later, time="1d"), Role.NETWORK, Role.REMEDY) == {}


@pytest.mark.parametrize("kind", [Row, Later, Compensated, Typed])
def test_the_roles_share_all_axes_among_them(kind: type[Row]) -> None:
    row = made(kind)
    parts = [value for role in Role for value in key_of(row, role)]
    assert sorted(map(str, parts)) == sorted(map(str, key_of(row)))
