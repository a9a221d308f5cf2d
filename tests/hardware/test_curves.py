"""Curves over conductance: each form against its formula, in numpy and in torch."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from noiseproof.hardware.curves import Curve

CURVES = TypeAdapter(Curve)
G = np.linspace(0, 30, 301)
FORMS = [
    (0.25, lambda x: np.full_like(x, 0.25)),
    (
        {"form": "polynomial", "coefficients": (1.0, -2.0, 0.5), "low": 0.0},
        lambda x: np.maximum(1 - 2 * x + 0.5 * x**2, 0),
    ),
    (
        {"form": "clipped_log", "a": -0.1, "b": 0.2, "low": 0.1, "high": 0.9},
        lambda x: np.clip(-0.1 * np.log(np.maximum(x, 1e-30)) + 0.2, 0.1, 0.9),
    ),
    (
        {"form": "power", "a": 0.3, "exponent": -0.65, "high": 2.0},
        lambda x: np.minimum(0.3 * np.maximum(x, 1e-30) ** -0.65, 2.0),
    ),
    ({"form": "saturating", "a": 3.0, "b": 0.4}, lambda x: 3 * (1 - np.exp(-x / 0.4))),
    (
        {"form": "table", "points": ((0.1, 2.0), (0.2, 5.0), (0.7, 1.0), (1.0, 1.5))},
        lambda x: np.interp(x, [0.1, 0.2, 0.7, 1.0], [2.0, 5.0, 1.0, 1.5]),
    ),
    (
        {
            "form": "piecewise",
            "edges": (0.3, 0.6),
            "pieces": tuple({"form": "polynomial", "coefficients": (c,)} for c in (1.0, 2.0, 3.0)),
        },
        lambda x: np.where(x < 0.3, 1.0, np.where(x < 0.6, 2.0, 3.0)),
    ),
]


@pytest.mark.parametrize(("written", "formula"), FORMS)
def test_a_curve_is_its_formula_over_the_share_of_g_max(written: object, formula: object) -> None:
    curve = CURVES.validate_python(written)
    expected = formula(G / 25)  # type: ignore[operator]
    np.testing.assert_allclose(curve.values(G, 25.0), expected, rtol=1e-12, atol=1e-12)
    found = curve.values(torch.tensor(G), 25.0, torch)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("written", [form for form, _ in FORMS if isinstance(form, dict)])
def test_a_curve_of_g_is_over_conductance_itself(written: dict[str, object]) -> None:
    over_r = CURVES.validate_python(written)
    if "pieces" in written:
        pieces = tuple({**p, "of": "g"} for p in written["pieces"])  # type: ignore[attr-defined]
        written = {**written, "pieces": pieces}
    over_g = CURVES.validate_python({**written, "of": "g"})
    np.testing.assert_array_equal(over_g.values(G / 25, 7.0), over_r.values(G / 25, 1.0))


@pytest.mark.parametrize(("written", "formula"), FORMS)
def test_a_curve_leaves_its_input_alone_and_takes_one_number(
    written: object, formula: object
) -> None:
    curve = CURVES.validate_python(written)
    g = torch.tensor(5.0)
    found = curve.values(g, 25.0, torch)
    assert float(g) == 5.0
    assert found.shape == ()
    assert float(found) == pytest.approx(float(formula(np.array(0.2))))  # type: ignore[operator]
    assert curve.text()
