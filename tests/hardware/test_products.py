"""What happens at products, against the same written out by literal loops over a chip's devices."""

import math

import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.rng import stream
from noiseproof.hardware.opening import products_at
from noiseproof.network.chip import Chip, at_products, outputs
from noiseproof.network.layouts import by_output
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.specs.mapping import parse_mapping
from noiseproof.specs.mvm import parse_mvm
from tests.hardware.cases import CHIPS, LAYERS, SAMPLES, Case, dice

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch, of even windows

# --- converters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_a_static_dac_rounds_the_inputs_by_one_range(name: str) -> None:
    case = Case(name)
    found = case.run(case.products("dac(4, range=static(90))"))
    range_ = torch.quantile(case.x.abs().flatten(), 0.9)
    coarse = (case.x / range_).clamp(-1, 1).mul(7).round() / 7 * range_
    torch.testing.assert_close(found, case.exact(coarse, case.kernel))


@pytest.mark.parametrize("name", LAYERS)
def test_a_dac_by_the_image_has_a_range_for_each_sample(name: str) -> None:
    case = Case(name)
    found = case.run(case.products("dac(4, range=image)"))
    range_ = case.x.abs().flatten(1).amax(1).view(-1, *[1] * (case.x.dim() - 1))
    coarse = (case.x / range_ * 7).round() / 7 * range_
    torch.testing.assert_close(found, case.exact(coarse, case.kernel))


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("circular", "tokens")])
def test_a_dac_by_the_vector_has_a_range_for_each_output_place(name: str) -> None:
    """One product at a time: the inputs that reach an output, rounded by the largest of them."""
    case = Case(name)
    found = case.run(case.products("dac(4, range=vector)"))
    wanted = torch.empty_like(found)
    for sample, where, reached in case.vectors():
        range_ = reached.abs().max()
        scaled = reached / range_ if range_ > 0 else reached
        coarse = (scaled * 7).round() / 7 * range_
        y = case.exact(coarse.view(1, *case.x.shape[1:]), case.kernel)
        wanted[(sample, *where)] = y[(0, *where)]
    torch.testing.assert_close(found, wanted)


def test_tokens_have_ranges_of_their_own_by_the_vector() -> None:
    case = Case("tokens")
    range_ = case.x.abs().amax(-1, keepdim=True)
    coarse = (case.x / range_ * 7).round() / 7 * range_
    found = case.run(case.products("dac(4, range=vector)"))
    torch.testing.assert_close(found, case.exact(coarse, case.kernel))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dac", ["dac(16, range=static(100))", "dac(16, range=image)"])
def test_a_fixed_adc_works_in_units_of_full_weights_and_inputs(name: str, dac: str) -> None:
    case = Case(name)
    found = case.run(case.products(f"{dac} + adc(5, range=fixed(0.5))"))
    exact = case.run(case.products(dac))  # what comes out of the array
    range_ = case.x.abs().max().expand(SAMPLES)
    if "image" in dac:
        range_ = case.x.abs().flatten(1).amax(1)
    full = 0.5 * case.by_output(case.scale) * range_.view(-1, *[1] * (found.dim() - 1))
    wanted = (exact / full).clamp(-1, 1).mul(15).round() / 15 * full
    torch.testing.assert_close(found, wanted)
    assert (exact.abs() > full).any(), "something is clipped"


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("per", ["layer", "column"])
def test_a_static_adc_has_a_percentile_of_what_the_calibration_gave(name: str, per: str) -> None:
    case = Case(name)
    found = case.run(case.products(f"adc(5, range=static(80), per={per})"))
    y = case.exact(case.x, case.kernel)
    unit = (y / case.by_output(case.scale)).movedim(case.map.axis, 0).flatten(1).abs()
    full = torch.quantile(unit, 0.8, dim=1) if per == "column" else torch.quantile(unit, 0.8)
    full = case.by_output(full * case.scale)
    wanted = (y / full).clamp(-1, 1).mul(15).round() / 15 * full
    torch.testing.assert_close(found, wanted)


def test_what_only_calibration_images_have_decides_the_range() -> None:
    case = Case("linear")
    wide = case.run(case.products("dac(4, range=static(100))", images=case.x * 10))
    coarse = (case.x / (case.x.abs().max() * 10)).mul(7).round() / 7 * case.x.abs().max() * 10
    torch.testing.assert_close(wide, case.exact(coarse, case.kernel))


def test_an_input_of_zeros_gives_zero_and_nothing_else() -> None:
    case = Case("strided")
    x = case.x.clone()
    x[2] = 0
    for range_ in ("vector", "image"):
        found = case.run(case.products(f"dac(8, range={range_}) + adc(8, range=fixed(3))"), x)
        assert torch.equal(found[2], torch.zeros_like(found[2]))
        assert found.isfinite().all()


# --- noise ---------------------------------------------------------------------------------------

LAWS = {
    "read(0.3, law=additive)": lambda w, s: (0.3 * s).square().expand_as(w),
    "read(0.3, law=device)": lambda w, s: 0.09 * w.abs() * s,
    "read(0.3, law=proportional)": lambda w, s: 0.09 * w.square(),
}


def as_scale(case: Case) -> Tensor:
    """The scale of each weight, in the shape of the kernel."""
    kernel, largest = case.kernel, torch.empty_like(case.kernel)
    g = case.map.groups
    if case.map.input_first:
        for i in range(kernel.shape[0]):
            for o in range(kernel.shape[1]):
                group = i // (kernel.shape[0] // g)
                largest[i, o] = case.scale[group * kernel.shape[1] + o]
        return largest
    for o in range(kernel.shape[0]):
        largest[o] = case.scale[o]
    return largest


@pytest.mark.parametrize("text", LAWS)
@pytest.mark.parametrize(
    ("name", "vector"),
    [*((name, False) for name in LAYERS), ("strided", True), ("grouped", True), ("tokens", True)],
)
def test_read_noise_has_the_variance_of_noise_on_every_device(
    name: str, text: str, vector: bool
) -> None:
    """Each chip's noise over the deviation that a draw on every device would have: mean 0, variance
    1, to 5 standard errors over all outputs together; and no output is left out."""
    case = Case(name)
    variance = case.exact(case.x.square(), LAWS[text](case.kernel, as_scale(case)))
    front = "dac(20, range=vector) + " if vector else ""
    products = case.products(front + text)
    exact = case.exact(case.x, case.kernel)
    noise = torch.stack([case.run(products, chip=chip) - exact for chip in range(CHIPS)])
    z = noise / variance.sqrt().clamp_min(1e-12)
    z = z[:, variance > 1e-9]
    n = z.numel()
    assert abs(float(z.mean())) < 5 / math.sqrt(n)
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 / n)
    each = z.square().mean(0)  # chi squared over the chips
    assert float((each - 1).abs().max()) < 6.5 * math.sqrt(2 / CHIPS)


@pytest.mark.parametrize("name", ["strided", "tokens", "transposed"])
def test_output_noise_is_in_units_of_full_weights_and_inputs(name: str) -> None:
    case = Case(name)
    products = case.products("dac(20, range=static(100)) + output(0.25)")
    deviation = case.by_output(0.25 * case.scale * case.x.abs().max())
    exact = case.exact(case.x, case.kernel)
    z = torch.stack([case.run(products, chip=c) - exact for c in range(CHIPS)]) / deviation
    assert abs(float(z.mean())) < 5 / math.sqrt(z.numel())
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 / z.numel())


def test_noise_stands_in_front_of_the_adc() -> None:
    case = Case("linear")
    found = case.run(case.products("dac(8, range=image) + output(5) + adc(4, range=fixed(1))"))
    full = case.by_output(case.scale) * case.x.abs().amax(1, keepdim=True)
    codes = found / full * 7
    torch.testing.assert_close(codes, codes.round())
    assert codes.abs().max() == pytest.approx(7)


def test_an_adc_has_gains_and_offsets_that_a_chip_keeps() -> None:
    case = Case("linear")
    products = case.products("adc(24, range=fixed(9), gain_sd=0.01, offset_sd=0.001)")
    first, again = case.run(products), case.run(products)
    assert torch.equal(first, again)
    assert not torch.equal(first, case.run(products, chip=1))
    exact = case.exact(case.x, case.kernel)
    full = 9 * case.by_output(case.scale) * case.x.abs().amax(1, keepdim=True)
    # One line (offset, gain) for each column through all samples.
    for column in range(4):
        a = torch.stack([torch.ones(SAMPLES).double(), exact[:, column] / full[:, column]], 1)
        line = torch.linalg.lstsq(a, (first / full)[:, column]).solution
        torch.testing.assert_close(a @ line, (first / full)[:, column], atol=1e-6, rtol=0)
        assert 0 < abs(float(line[0])) < 0.01
        assert 0 < abs(float(line[1]) - 1) < 0.1


@pytest.mark.parametrize("name", ["grouped", "transposed", "tokens"])
@pytest.mark.parametrize("per_column", [False, True])
def test_a_digital_gain_comes_behind_the_converters(name: str, per_column: bool) -> None:
    """A compensated kernel has its gain in it; the array does not."""
    case = Case(name)
    text = "dac(6, range=image) + read(0.1, law=device) + output(0.1) + adc(5, range=fixed(1))"
    products = case.products(text)
    gain = dice(len(case.scale) if per_column else 1, name="gain").exp()
    plain = case.run(products)
    each = gain.expand(len(case.scale))
    kernel = case.kernel * by_output(each, case.kernel, case.map)
    chip = Chip(case.state | {"0.weight": kernel}, gains={"0.weight": gain})
    made = products.on(chip, 0, 0)
    forward = products.cursor.along(lambda z: outputs(case.skeleton, made, z))
    torch.testing.assert_close(forward(case.x) - case.bias, plain * case.by_output(each))


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("dac(8, range=image)", "cells=slices(8, cell=2)"),
        ("read(0.1)", "cells=offset"),
        ("read(0.1)", "cells=pairs(2)"),
    ],
)
def test_a_mapping_whose_products_are_others_is_refused(text: str, mapping: str) -> None:
    case = Case("linear")
    with pytest.raises(ValueError, match="at products of pairs of devices, and the mapping is"):
        products_at(
            case.skeleton,
            case.state,
            parse_mvm(text),
            analog=["0.weight"],
            example=case.x,
            images=None,
            mapping=parse_mapping(mapping)[0],
        )


def test_a_scale_over_the_tensor_is_the_unit_of_all_columns() -> None:
    case = Case("linear")
    products = products_at(
        case.skeleton,
        case.state,
        parse_mvm("dac(8, range=image)"),
        analog=["0.weight"],
        example=case.x,
        images=None,
        mapping=parse_mapping("scale=tensor")[0],
    )
    assert torch.equal(products.scales["0"], case.kernel.abs().max().expand(4))


# --- gradients, and what is refused ---------------------------------------------------------------


def test_gradients_pass_rounding_and_stop_where_values_are_clipped() -> None:
    layer = nn.Linear(2, 1, bias=False).double()
    skeleton = skeleton_of(nn.Sequential(layer))
    state = {"0.weight": torch.tensor([[1.0, 0.5]]).double()}
    x = torch.tensor([[0.25, 2.0], [0.5, 0.5]]).double()
    images = torch.ones(2, 2).double()
    products = products_at(
        skeleton,
        state,
        parse_mvm("dac(4) + adc(4, range=fixed(10))").calibrated(2),
        analog=["0.weight"],
        example=x,
        images=images,
    )
    given = x.clone().requires_grad_()
    model = nn.Sequential(layer).requires_grad_(True)
    with torch.no_grad():
        layer.weight.copy_(state["0.weight"])
    chip = products.on(Chip(state), 0, 0)
    with at_products(model, chip.products):
        y = model(given)
    y.sum().backward()
    assert given.grad is not None
    torch.testing.assert_close(given.grad, torch.tensor([[1.0, 0.0], [1.0, 0.5]]).double())
    coarse = (x.clamp(-1, 1) * 7).round() / 7
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, coarse.sum(0, keepdim=True))
    plain = products.cursor.along(lambda z: outputs(skeleton, chip, z))(x)
    torch.testing.assert_close(y.detach(), plain)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.LSTM(3, 4), r"\(recurrent\) and of 1 more.*--digital kind:recurrent$"),
        (nn.Bilinear(3, 3, 2), r"\(bilinear\) computes more.*--digital kind:bilinear$"),
    ],
)
def test_a_layer_that_is_not_one_product_is_refused(model: nn.Module, message: str) -> None:
    skeleton = skeleton_of(nn.Sequential(model))
    state = state_of(skeleton)
    with pytest.raises(ValueError, match=message) as caught:
        products_at(
            skeleton,
            state,
            parse_mvm("output(1)"),
            analog=list(state),
            example=torch.zeros(2, 2, 3),
            images=None,
        )
    assert "\n" not in str(caught.value)


def test_an_attention_has_converters_at_each_of_its_projections() -> None:
    """The same network written out with linear layers, which have them too."""

    class Apart(nn.Module):
        def __init__(self, whole: nn.MultiheadAttention) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24).double(), nn.Linear(8, 8).double()
            self.qkv.weight, self.qkv.bias = whole.in_proj_weight, whole.in_proj_bias
            self.out.weight, self.out.bias = whole.out_proj.weight, whole.out_proj.bias

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (y.unflatten(-1, (2, 4)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True).double()
            for name, p in self.named_parameters():
                p.data = dice(*p.shape, name=name)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]  # type: ignore[no-any-return]

    whole = Whole()
    x = dice(5, 3, 8)
    found = []
    for model in (whole, Apart(whole.attention)):
        skeleton = skeleton_of(model)
        state = state_of(skeleton)
        mvm = parse_mvm("dac(6) + adc(6, range=static(99))").calibrated(5)
        products = products_at(skeleton, state, mvm, analog=list(state), example=x[:3], images=x)
        assert len(products.scales) == 2
        found.append(outputs(skeleton, products.on(Chip(state), 0, 0), x))
        assert not torch.allclose(found[-1], outputs(skeleton, Chip(state), x), rtol=1e-3)
    torch.testing.assert_close(*found)


def test_tables_and_digital_layers_multiply_exactly() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    skeleton = skeleton_of(model)
    state = state_of(skeleton)
    x = torch.randint(0, 5, (4, 2), generator=stream(0))
    products = products_at(
        skeleton,
        state,
        parse_mvm("output(1)"),
        analog=["0.weight", "1.weight"],
        example=x[:3],
        images=None,
    )
    assert list(products.scales) == ["1"]


def test_a_weight_of_zeros_gives_zero() -> None:
    skeleton = skeleton_of(nn.Sequential(nn.Linear(3, 2, bias=False)))
    state = {"0.weight": torch.zeros(2, 3)}
    x = torch.randn(4, 3, generator=stream(0))
    products = products_at(
        skeleton,
        state,
        parse_mvm("dac(8) + adc(8)").calibrated(4),
        analog=["0.weight"],
        example=x[:3],
        images=x,
    )
    chip = products.on(Chip(state), 0, 0)
    assert torch.equal(outputs(skeleton, chip, x), torch.zeros(4, 2))
