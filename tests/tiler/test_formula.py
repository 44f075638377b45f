from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rio_tiler.models import ImageData

from geozarr.errors import ParameterError
from tiler import formula as formula_module
from tiler.formula import Formula, Operation, parse_formula

RGB = np.random.default_rng(0).integers(0, 256, (3, 24, 24)).astype(np.uint8)
ALL = np.stack(np.meshgrid(*[np.arange(0, 256, 51, dtype=np.uint8)] * 3)).reshape(3, 6, 36)


def by_rio_tiler(text: str, rgb: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return ImageData(np.ma.MaskedArray(rgb.copy())).apply_color_formula(text).array.data


@pytest.mark.parametrize(
    "text",
    [
        "gamma rgb 1.5",
        "gamma R 0.8",
        "gamma 13 2",
        "sigmoidal rgb 6 0.5",
        "sigmoidal g -6 0.4",
        "sigmoidal b 0 0.5",
        "saturation 1.4",
        "saturation 0",
        "gamma rg 1.3, sigmoidal rgb 10 0.3, saturation 0.9",
        "Gamma RGB 3.5 Saturation 1.7 Sigmoidal RGB 15 0.35",
        "saturation 1.2 gamma b 1.1 gamma g 0.9 saturation .5",
    ],
)
@pytest.mark.parametrize("rgb", [RGB, ALL])
def test_a_formula_does_what_it_does_in_rio_tiler(text: str, rgb: np.ndarray) -> None:
    before = rgb.copy()
    found = parse_formula(text).apply(rgb)
    assert found.dtype == np.uint8
    assert np.array_equal(found, by_rio_tiler(text, rgb))
    assert np.array_equal(rgb, before)


NUMBER = st.integers(0, 9999).map(lambda number: number / 1000)
STEPS = st.one_of(
    st.tuples(
        st.just("gamma"), st.sampled_from(["r", "gb", "rgb", "321"]), NUMBER.map(lambda value: value * 10 + 0.01)
    ),
    st.tuples(
        st.just("sigmoidal"),
        st.sampled_from(["r", "bg", "rgb"]),
        st.integers(-2000, 2000).map(lambda value: value / 100),
        st.floats(0, 1).map(lambda value: round(value, 3)),
    ),
    st.tuples(st.just("saturation"), NUMBER),
)


@settings(deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4))
@example([("sigmoidal", "rgb", -20, 1)])
@example([("sigmoidal", "rgb", -20, 0)])
@example([("sigmoidal", "rgb", 20, 0)])
@example([("sigmoidal", "rgb", 0.01, 1)])
@example([("sigmoidal", "rgb", -0.01, 0.5)])
@example([("gamma", "rgb", 0.01)])
@example([("gamma", "rgb", 100)])
@example([("saturation", 10)])
def test_formulas_are_numbers_all_over_their_ranges(steps: list[tuple[Any, ...]]) -> None:
    text = " ".join(f"{part:.4f}" if isinstance(part, int | float) else part for step in steps for part in step)
    every_byte = np.tile(np.arange(256, dtype=np.uint8), (3, 1, 1))
    with np.errstate(all="raise", under="ignore"):
        found = parse_formula(text).apply(every_byte)
    assert np.array_equal(found, by_rio_tiler(text, every_byte))
    for step in parse_formula(text).operations:  # what numpy casts to bytes is never infinite or no number
        from color_operations import parse_operations, to_math_type  # noqa: PLC0415 - as in the module

        with np.errstate(all="ignore"):
            values = parse_operations(str(step))[0](to_math_type(every_byte))
        assert np.isfinite(values).all()
        assert values.min() > -1e-6
        assert values.max() < 1 + 1e-6


def test_numpy_reports_errors_after_a_formula_as_before() -> None:
    before = np.geterr()
    formula_module._tables.cache_clear()
    parse_formula("sigmoidal rgb 6 0.5").apply(RGB)
    assert np.geterr() == before


def test_steps_that_depend_on_one_byte_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    computed = formula_module._computed
    monkeypatch.setattr(
        formula_module, "_computed", lambda steps, rgb: (sizes.append(rgb.shape), computed(steps, rgb))[1]
    )
    formula_module._tables.cache_clear()
    for _ in range(3):
        parse_formula("gamma r 1.25 sigmoidal rgb 5 0.45").apply(RGB)
    assert sizes == [(3, 1, 256)]
    parse_formula("gamma r 1.25 saturation 1.1").apply(RGB)
    assert sizes[1:] == [(3, 1, 256), (3, 24, 24)]


def test_formulas_are_keys() -> None:
    one, other = parse_formula("gamma gr 1.50, saturation 2"), parse_formula("GAMMA 12 1.5 saturation 2.0")
    assert one == other == Formula((Operation("gamma", "rg", (1.5,)), Operation("saturation", "", (2.0,))))
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert parse_formula("gamma r 1.5") != parse_formula("gamma g 1.5")
    assert repr(parse_formula("sigmoidal r -0 0.5")) == repr(parse_formula("sigmoidal r 0 0.5"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "1.5",
        "rgb gamma rgb 1.5",
        "gamma",
        "gamma rgb",
        "gamma 1.5",
        "gamma rgb 1.5 2",
        "gamma rgba 1.5",
        "gamma 4 1.5",
        "gamma 0 1.5",
        "gamma rgb 0",
        "gamma rgb -1",
        "gamma rgb 101",
        "gamma rgb nan",
        "gamma rgb inf",
        "gamma rgb 1e1",
        "gamma rgb 1_0",
        "gamma rgb \u0661",
        "gamma rgb 1,5",
        "gamma\trgb\t1.5",
        "gamma rgb 1.5\n",
        "sigmoidal rgb 6",
        "sigmoidal rgb 6 1.1",
        "sigmoidal rgb 6 -0.1",
        "sigmoidal rgb 20.1 0.5",
        "sigmoidal rgb -20.1 0.5",
        "sigmoidal rgb 0.001 0.5",
        "sigmoidal rgb -0.001 0.5",
        "saturation",
        "saturation rgb 1.5",
        "saturation -1",
        "saturation 10.5",
        "simple_atmo 0.1 1 1",
        "gamma rgb 1.5 blur 2",
        "__import__ rgb 1",
        "saturation 1 " * 9,
        "gamma rgb 1.5" + " " * 250,
    ],
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_formula(text)
    assert caught.value.parameter == "color_formula"


@given(st.text(max_size=60) | st.text(alphabet="gam sigodlturnb123.,-", max_size=60))
def test_any_text_is_a_formula_or_a_typed_error(text: str) -> None:
    try:
        found = parse_formula(text)
    except ParameterError:
        return
    assert 1 <= len(found.operations) <= 8


@pytest.mark.parametrize("text", ["gamma rgb 1 " * 9000, "1" * 100_000, " " * 100_000, "gamma rgb " + "9" * 100_000])
def test_long_formulas_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ParameterError):
        parse_formula(text)
    assert time.perf_counter() - began < 0.01


@pytest.mark.parametrize("wrong", [RGB[:1], RGB[:, 0], RGB.astype(np.int16), np.zeros((4, 2, 2), np.uint8)])
def test_what_is_not_red_green_and_blue_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_formula("saturation 1").apply(wrong)
    assert caught.value.parameter == "color_formula"


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, tiler.formula as f; f.parse_formula('gamma r 2'); sys.exit('color_operations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
