"""Specs: one text form that parses and prints to itself, and bad text refused by a sentence."""

import builtins
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noiseproof.specs.noise import (
    MAX_TEXT,
    REFERENCES,
    ROLES,
    SCOPES,
    STAGES,
    DeadColumn,
    DeadRow,
    Gaussian,
    Laplace,
    Lognormal,
    OnDevices,
    Own,
    Quantize,
    Spec,
    Stage,
    Stuck,
    Uniform,
    Verify,
    ordered_targets,
    parse,
    parse_levels,
    parse_targets,
)
from noiseproof.specs.times import LONGEST, time_text

finite = st.floats(min_value=0, allow_infinity=False)
scopes = st.sampled_from(SCOPES)
additive = {"level": finite, "reference": st.sampled_from(REFERENCES), "scope": scopes}
STAGE_STRATEGIES: dict[type[Stage], st.SearchStrategy[Stage]] = {
    Gaussian: st.builds(Gaussian, **additive),
    Laplace: st.builds(Laplace, **additive),
    Uniform: st.builds(Uniform, **additive),
    Lognormal: st.builds(Lognormal, level=finite),
    Stuck: st.builds(Stuck, p=st.floats(0, 1), at=st.sampled_from(["max", "zero"])),
    Quantize: st.builds(Quantize, bits=st.integers(2, 24), scope=scopes),
    OnDevices: st.builds(
        OnDevices,
        device=st.sampled_from(["pcm", "reram_wan", "my devices/mine.toml"]),
        time=st.one_of(st.just(None), st.floats(0, LONGEST)).map(time_text),
        file=st.sampled_from(["", "fab01ab23"]),
    ),
    Own: st.builds(
        Own,
        function=st.sampled_from(["a:b", "package.module:function", "_p1.q:Drift.make"]),
        level=finite,
        code=st.sampled_from(["", "c01ab23cd"]),
    ),
}
OF_DEVICES: dict[type[Stage], st.SearchStrategy[Stage]] = {
    Stuck: st.builds(Stuck, p=st.floats(0, 1), at=st.sampled_from(["gmin", "gmax"])),
    DeadRow: st.builds(DeadRow, p=st.floats(0, 1)),
    DeadColumn: st.builds(DeadColumn, p=st.floats(0, 1)),
    Verify: st.builds(Verify, rounds=st.integers(1, 1000), tolerance=st.floats(0, 1)),
}
stages = st.one_of(*STAGE_STRATEGIES.values())
devices = st.tuples(
    STAGE_STRATEGIES[OnDevices], st.lists(st.one_of(*OF_DEVICES.values()), max_size=3)
).map(lambda found: [found[0], *found[1]])
specs = st.lists(st.one_of(stages.map(lambda one: [one]), devices), max_size=6).map(
    lambda several: Spec(stages=tuple(stage for part in several for stage in part))
)


def test_every_kind_of_stage_is_generated() -> None:
    assert {*STAGE_STRATEGIES, *OF_DEVICES} == set(STAGES.values())
    assert {name: cls.kind for name, cls in STAGES.items()} == {name: name for name in STAGES}


@settings(max_examples=300)
@given(specs)
def test_the_text_of_a_spec_parses_back_to_it(spec: Spec) -> None:
    assert parse(str(spec)) == spec
    assert str(parse(str(spec))) == str(spec)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", ["gaussian", "laplace", "uniform"])
def test_every_scope_can_be_written(kind: str, scope: str) -> None:
    text = f"{kind}(0.1, reference=max, scope={scope})"
    assert str(parse(text)) == text


@settings(max_examples=300)
@given(st.text(max_size=60) | st.text("gausin(0.1,=max+)-e9 ", max_size=60))
def test_any_text_is_a_spec_or_a_value_error(text: str) -> None:
    try:
        spec = parse(text)
    except ValueError:
        return
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("none", "none"),
        (" none ", "none"),
        ("gaussian(0.1)", "gaussian(0.1, reference=std, scope=tensor)"),
        ("gaussian(level=1)", "gaussian(1.0, reference=std, scope=tensor)"),
        ("gaussian(+.5,scope=channel,)", "gaussian(0.5, reference=std, scope=channel)"),
        ("laplace(1e-3, reference='max')", "laplace(0.001, reference=max, scope=tensor)"),
        ("uniform(0, reference=range)", "uniform(0.0, reference=range, scope=tensor)"),
        ("lognormal(0.2)", "lognormal(0.2)"),
        ("stuck(p=0.01, at=max)", "stuck(0.01, at=max)"),
        ("stuck(1)", "stuck(1.0, at=zero)"),
        ("quantize(6)", "quantize(bits=6, scope=tensor)"),
        ("(stuck(0)+lognormal(0))", "stuck(0.0, at=zero) + lognormal(0.0)"),
    ],
)
def test_a_spec_prints_in_one_canonical_form(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(text) == parse(canonical)


def test_equal_specs_have_equal_texts_also_for_minus_zero() -> None:
    assert parse("gaussian(-0.0)") == parse("gaussian(0.0)")
    assert str(parse("gaussian(-0.0)")) == str(parse("gaussian(0.0)"))


def test_stages_join_left_to_right() -> None:
    first, second = parse("quantize(4)"), parse("gaussian(0.1) + stuck(0.2)")
    assert first + second == parse("quantize(4) + gaussian(0.1) + stuck(0.2)")
    assert Spec() + first == first + Spec() == first


@pytest.mark.parametrize(
    ("text", "level", "swept"),
    [
        ("gaussian(0.1)", 0.1, "gaussian(0.7)"),
        ("gaussian(0.1) + lognormal(0.2)", 0.2, "gaussian(0.1) + lognormal(0.7)"),
        ("gaussian(0.1) + stuck(0.2)", 0.1, "gaussian(0.7) + stuck(0.2)"),
        ("stuck(0.2) + uniform(0.1)", 0.1, "stuck(0.2) + uniform(0.7)"),
        ("laplace(0.1) + quantize(4)", 0.1, "laplace(0.7) + quantize(4)"),
        ("stuck(0.1) + stuck(0.2)", 0.2, "stuck(0.1) + stuck(0.7)"),
    ],
)
def test_a_sweep_sets_the_last_noise_level_and_stuck_only_without_one(
    text: str, level: float, swept: str
) -> None:
    spec = parse(text)
    assert spec.level == level
    assert spec.at(0.7) == parse(swept)
    assert spec.at(0.7).level == 0.7
    assert spec.at([0.0, level]) == [spec.at(0.0), spec]
    assert spec == parse(text)


@pytest.mark.parametrize("text", ["none", "quantize(4)", "quantize(4) + quantize(3)"])
def test_a_spec_without_a_level_cannot_be_swept(text: str) -> None:
    assert parse(text).level is None
    with pytest.raises(ValueError, match="has no level to sweep: leave the levels out"):
        parse(text).at(0.1)


@pytest.mark.parametrize("level", [-0.1, math.nan, math.inf])
def test_a_sweep_checks_its_levels(level: float) -> None:
    with pytest.raises(ValueError, match=f"level must be finite and >= 0, got {level:g}"):
        parse("gaussian(0.1)").at(level)
    with pytest.raises(ValueError, match=f"p must be between 0 and 1, got {level:g}"):
        parse("stuck(0.1)").at(level)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("none", "none"),
        ("quantize(4)", "quantize(bits=4, scope=tensor)"),
        ("stuck(0.1)", "stuck(level, at=zero)"),
        (
            "gaussian(0.1) + gaussian(0.2, reference=max)",
            "gaussian(0.1, reference=std, scope=tensor)"
            " + gaussian(level, reference=max, scope=tensor)",
        ),
        ("lognormal(0.3) + stuck(0.1)", "lognormal(level) + stuck(0.1, at=zero)"),
    ],
)
def test_a_family_leaves_the_swept_level_open(text: str, family: str) -> None:
    assert parse(text).family == family


@settings(max_examples=100)
@given(specs.filter(lambda spec: spec.level is not None), st.floats(0, 1))
def test_all_points_of_a_sweep_are_one_family(spec: Spec, value: float) -> None:
    (point,) = spec.at_times([value]) if spec.sweeps == "time" else spec.at([value])
    assert point.family == spec.family
    assert point.level == value


def test_devices_are_swept_by_time_and_the_levels_beside_them_stay() -> None:
    spec = parse("device(pcm) + gaussian(0.1)")
    assert spec.sweeps == "time"
    assert spec.level is None
    first, second = spec.at_times([None, 3600.0])
    assert first == spec
    assert str(second) == "device(pcm, time=1h) + gaussian(0.1, reference=std, scope=tensor)"
    assert second.level == 3600
    assert (
        first.family
        == second.family
        == ("device(pcm, time=time) + gaussian(0.1, reference=std, scope=tensor)")
    )
    with pytest.raises(ValueError, match="is swept by times, as 0s,1h,1d: write the levels"):
        spec.at(0.2)
    with pytest.raises(ValueError, match="has no devices that age"):
        parse("gaussian(0.1)").at_times([0.0])


@pytest.mark.parametrize(
    "text",
    [
        "stuck(0.1, at=gmax)",
        "gaussian(0.1) + dead_row(0.1)",
        "device(pcm) + gaussian(0.1) + dead_column(0.1)",
        "verify(rounds=3, tolerance=0.1) + device(pcm)",
    ],
)
def test_what_is_of_devices_must_come_right_behind_them(text: str) -> None:
    with pytest.raises(ValueError, match=r"is of devices, and must come right behind them, as in"):
        parse(text)


@pytest.mark.parametrize("time", ["3600", "-1d", "1", "1w", "101y"])
def test_a_time_is_a_number_with_its_unit(time: str) -> None:
    with pytest.raises(ValueError, match=r"time must be|cannot read"):
        parse(f"device(pcm, time={time})")


@pytest.mark.parametrize(
    ("text", "random"),
    [
        ("none", False),
        ("quantize(4)", False),
        ("gaussian(0)", False),
        ("stuck(0) + lognormal(0) + quantize(2)", False),
        ("gaussian(0.1)", True),
        ("stuck(0.1) + gaussian(0)", True),
        ("lognormal(1e-9) + quantize(2)", True),
    ],
)
def test_a_spec_is_random_where_a_level_is_above_zero(text: str, random: bool) -> None:
    assert parse(text).is_random is random


UNREADABLE = "cannot read noise spec .*: expected stages joined by"
NOT_A_STAGE = "cannot read .* in a noise spec: expected stages joined by"
NOT_A_VALUE = "cannot read .* in a noise spec: expected number or word"
BAD = [
    ("", UNREADABLE),
    ("gaussian(", UNREADABLE),
    ("gaussian(0.1) gaussian(0.1)", UNREADABLE),
    ("gaussian(0.1)\0", UNREADABLE),
    ("import os", UNREADABLE),
    ("-" * 900 + "1", UNREADABLE),
    ("gaussian(" + "-" * 900 + "1)", UNREADABLE),
    ("(" * 400 + "1" + ")" * 400, UNREADABLE),
    ("a." * 400 + "a", UNREADABLE),
    ("0.1", NOT_A_STAGE),
    ("+gaussian(0.1)", NOT_A_STAGE),
    ("gaussian(0.1) - stuck(0.1)", NOT_A_STAGE),
    ("gaussian(0.1) * 2", NOT_A_STAGE),
    ("os.system('true')", NOT_A_STAGE),
    ("gaussian(0.1)(0.1)", NOT_A_STAGE),
    ("(lambda: gaussian(0.1))()", NOT_A_STAGE),
    ("[gaussian(0.1)]", NOT_A_STAGE),
    ("lambda: gaussian(0.1)", NOT_A_STAGE),
    ("gaussian(x.y)", NOT_A_VALUE),
    ("gaussian(exit())", NOT_A_VALUE),
    ("gaussian(__import__('os').system('true'))", NOT_A_VALUE),
    ("gaussian(lambda: 0.1)", NOT_A_VALUE),
    ("gaussian(0.1 + 0.1)", NOT_A_VALUE),
    ("gaussian([0.1])", NOT_A_VALUE),
    ("gaussian(*levels)", NOT_A_VALUE),
    ("gaussian(1j)", NOT_A_VALUE),
    ("gaussian(True)", NOT_A_VALUE),
    ("gaussian(None)", NOT_A_VALUE),
    ("gaussian(0.1, reference=-max)", NOT_A_VALUE),
    ("gauss(0.1)", "unknown noise 'gauss': expected one of dead_column, dead_row, device"),
    ("eval('1')", "unknown noise 'eval'"),
    ("none + gaussian(0.1)", "unknown noise 'none'"),
    ("gaussian", r"noise 'gaussian' needs its values in brackets, as in gaussian\(...\)"),
    ("gaussian(0.1, reference=mean)", "unknown reference 'mean': expected one of absolute, max"),
    ("gaussian(0.1, reference=2)", "unknown reference '2': expected one of"),
    ("gaussian(0.1, scope=layer)", "unknown scope 'layer': expected one of channel, global"),
    ("quantize(4, scope=layer)", "unknown scope 'layer'"),
    ("stuck(0.1, at=min)", "unknown place to be stuck at 'min': expected one of gmax, gmin, max"),
    ("gaussian(0.1, sigma=2)", "unknown option of gaussian 'sigma': expected one of level, ref"),
    ("lognormal(0.1, reference=std)", "unknown option of lognormal 'reference'"),
    ("gaussian(**options)", "unknown option of gaussian '\\*\\*'"),
    ("gaussian(0.1, max)", "'gaussian\\(0.1, max\\)': only level may stand without its name"),
    ("gaussian()", r"'gaussian\(\)': level is missing"),
    ("gaussian(reference=max)", r"'gaussian\(reference=max\)': level is missing"),
    ("stuck(at=max)", "p is missing"),
    ("quantize(scope=channel)", "bits is missing"),
    ("gaussian(0.1, level=0.2)", r"'gaussian\(0.1, level=0.2\)': level is given twice"),
    ("stuck(0.1, at=max, at=max)", "at is given twice"),
    ("gaussian(-0.1)", "level must be finite and >= 0, got -0.1"),
    ("lognormal(-1)", "level must be finite and >= 0, got -1"),
    ("gaussian(nan)", "level must be finite and >= 0, got nan"),
    ("lognormal(nan)", "level must be finite and >= 0, got nan"),
    ("uniform(inf)", "level must be finite and >= 0, got inf"),
    ("gaussian(1e999)", "level must be finite and >= 0, got inf"),
    ("gaussian(-inf)", "level must be finite and >= 0, got -inf"),
    ("gaussian('0.1')", "level must be a number, got '0.1'"),
    ("gaussian(max)", "level must be a number, got 'max'"),
    ("stuck(1.5)", "p must be between 0 and 1, got 1.5"),
    ("stuck(-0.5)", "p must be between 0 and 1, got -0.5"),
    ("stuck(nan)", "p must be between 0 and 1, got nan"),
    ("quantize(1)", "bits must be between 2 and 24, got 1"),
    ("quantize(25)", "bits must be between 2 and 24, got 25"),
    ("quantize(2.5)", "bits must be a whole number, got 2.5"),
    ("quantize(4.0)", "bits must be a whole number, got 4.0"),
    ("quantize(nan)", "bits must be a whole number, got nan"),
    ("quantize('4')", "bits must be a whole number, got '4'"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=[text[:40] for text, _ in BAD])
def test_bad_text_is_refused_by_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text)


def test_text_beyond_the_limit_is_refused_before_it_is_read() -> None:
    at_limit = "gaussian(0.1)".ljust(MAX_TEXT)
    assert parse(at_limit) == parse("gaussian(0.1)")
    sentence = f"noise spec must be at most {MAX_TEXT} characters, got {MAX_TEXT + 1}"
    with pytest.raises(ValueError, match=sentence):
        parse(at_limit + " ")


@pytest.mark.parametrize("text", ["gaussian(1{0})", "gaussian(-1{0})", "stuck(1{0})"])
def test_a_whole_number_too_large_for_a_float_is_refused_by_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="(level|p) must be"):
        parse(text.format("0" * 400))


def test_nothing_in_the_text_is_ever_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(builtins, "gaussian", lambda *_: called.append(1), raising=False)
    monkeypatch.setattr(builtins, "trap", lambda *_: called.append(1), raising=False)
    parse("gaussian(0.1)")
    for text in ("trap()", "gaussian(trap())", "gaussian(0.1, reference=trap())", "[trap()][0]"):
        with pytest.raises(ValueError, match="unknown noise|cannot read"):
            parse(text)
    assert called == []


@pytest.mark.parametrize("cls", [Gaussian, Lognormal])
def test_a_bool_is_not_a_level(cls: type[Gaussian] | type[Lognormal]) -> None:
    with pytest.raises(ValueError, match="level must be a number, got True"):
        cls(level=True)


def test_a_bool_is_not_a_number_of_bits_or_a_probability() -> None:
    with pytest.raises(ValueError, match="bits must be a whole number, got True"):
        Quantize(bits=True)
    with pytest.raises(ValueError, match="p must be a number, got False"):
        Stuck(p=False)


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("kernel", ("kernel",)),
        ("bias,kernel", ("kernel", "bias")),
        (" norm_stats , norm_affine,norm_stats", ("norm_affine", "norm_stats")),
        ("other,norm_stats,norm_affine,bias,embedding,kernel", ROLES),
    ],
)
def test_targets_come_in_one_order_each_once(text: str, roles: tuple[str, ...]) -> None:
    assert parse_targets(text) == roles


@pytest.mark.parametrize("text", ["weights", "", "kernel,", "kernel;bias", "Kernel", "constant"])
def test_an_unknown_target_is_refused(text: str) -> None:
    sentence = "unknown target '.*': expected one of kernel, embedding, bias, norm_affine, norm"
    with pytest.raises(ValueError, match=sentence):
        parse_targets(text)


def test_no_target_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="targets must name at least one of kernel, emb"):
        ordered_targets([])


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("0.1", (0.1,)),
        ("0.2, 0,0.10", (0.0, 0.1, 0.2)),
        ("1e-3,0.001", (0.001,)),
        ("1,10,2", (1.0, 2.0, 10.0)),
    ],
)
def test_levels_come_ascending_each_once(text: str, levels: tuple[float, ...]) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "level must be a number, got ''"),
        ("0.1,", "level must be a number, got ''"),
        ("0.1, x", "level must be a number, got 'x'"),
        ("0.1;0.2", "level must be a number, got '0.1;0.2'"),
        ("-0.1", "level must be finite and >= 0, got -0.1"),
        ("0.1,nan", "level must be finite and >= 0, got nan"),
        ("inf", "level must be finite and >= 0, got inf"),
    ],
)
def test_bad_levels_are_refused_by_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_levels(text)
