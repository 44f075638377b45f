from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import sphere
from geozarr import crs
from geozarr.errors import GridMismatchError, ParameterError
from geozarr.grid import Grid
from geozarr.window import Window
from tiler.block import Block
from tiler.resample import resample, shrinking_method

MERCATOR = crs.from_code("EPSG:3857")
FINE = Grid((12, 16), Affine(10.0, 0.0, 5000.0, 0.0, -10.0, 9000.0), MERCATOR)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")


def block_of(dtype: str, *, seed: int = 0, share: float = 0.7) -> Block:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        values = generator.normal(size=(2, *FINE.shape)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        values = generator.integers(info.min, info.max, (2, *FINE.shape), dtype=dtype, endpoint=True)
    return Block(values, generator.random(values.shape) < share)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_gives_stored_values_of_every_dtype(dtype: str) -> None:
    block = block_of(dtype)
    target = Grid((24, 32), FINE.transform @ Affine.scale(0.5), MERCATOR)
    found = resample(block, FINE, target, method="nearest")
    assert found.values.dtype == np.dtype(dtype)
    assert np.array_equal(found.mask, block.mask.repeat(2, 1).repeat(2, 2))
    assert np.array_equal(found.values, block.values.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_is_the_mean_of_the_valid_cells_rounded_once(dtype: str) -> None:
    block = block_of(dtype, share=0.4)
    found = resample(block, FINE, FINE.coarsen(2), method="average")
    shape = (2, 6, 2, 8, 2)
    weight = block.mask.reshape(shape).sum((2, 4))
    # float64 holds sums of four 32-bit integers exactly; of 64-bit ones to 52 bits, which the tolerance allows.
    total = np.where(block.mask, block.values.astype(np.float64), 0).reshape(shape).sum((2, 4))
    assert np.array_equal(found.mask, weight > 0)
    mean = total[weight > 0] / weight[weight > 0]
    expected = np.rint(mean) if np.dtype(dtype).kind in "iu" else mean
    tolerance = {"f": 2.0 ** -np.finfo(dtype).nmant if np.dtype(dtype).kind == "f" else 0}.get(
        np.dtype(dtype).kind, 2.0**-50 if dtype.endswith("64") else 0
    )
    difference = np.abs(found.values[weight > 0].astype(np.float64) - expected)
    # A mean of three that is a half short by 1e-16 may round to the other side: one count, for these alone.
    ties = np.abs(np.abs(mean - np.floor(mean)) - 0.5) < 1e-9 * np.maximum(1, np.abs(mean))
    assert (difference <= tolerance * np.maximum(1, np.abs(expected)) + (ties if tolerance == 0 else 0)).all()


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_averages_of_extremes_do_not_wrap(dtype: str) -> None:
    info = np.iinfo(dtype)
    for extreme in (info.min, info.max):
        block = Block(np.full((1, *FINE.shape), extreme, dtype), np.ones((1, *FINE.shape), bool))
        found = resample(block, FINE, FINE.coarsen(2), method="average").values.astype(object)
        assert all(abs(int(value) - int(extreme)) <= 2**11 for value in found.ravel())


def test_cells_outside_the_source_are_not_valid() -> None:
    block = block_of("uint8", share=1.1)
    target = FINE.crop(Window(-3, -3, 8, 8))
    for method in ("nearest", "average", "bilinear"):
        mask = resample(block, FINE, target, method=method).mask
        assert not mask[:, :3].any()
        assert not mask[:, :, :3].any()
        assert mask[:, 3:, 3:].all()


def test_an_empty_block_stays_empty() -> None:
    block = Block(np.zeros((1, *FINE.shape), np.float32), np.zeros((1, *FINE.shape), bool))
    for method in ("nearest", "average", "cubic"):
        assert not resample(block, FINE, FINE.coarsen(3), method=method).mask.any()


def test_infinities_are_values() -> None:
    values = np.full((1, *FINE.shape), 1.0, np.float32)
    values[0, 0, 0] = np.inf
    block = Block(values, np.ones(values.shape, bool))
    assert resample(block, FINE, FINE.coarsen(2), method="average").values[0, 0, 0] == np.inf


def test_cubic_overshoot_is_clipped_to_the_dtype() -> None:
    values = np.zeros((1, *FINE.shape), np.uint8)
    values[0, :, 8:] = 255
    block = Block(values, np.ones(values.shape, bool))
    target = Grid((48, 64), FINE.transform @ Affine.scale(0.25), MERCATOR)
    found = resample(block, FINE, target, method="cubic").values[0]
    # Wrapped values would make a dark line on the bright side: away from the edge nothing may change sides.
    assert (found[8:40, 8:28] <= 10).all()
    assert (found[8:40, 36:56] >= 245).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_nearest_across_crs_equals_exact_coordinates_but_at_cell_edges(seed: int) -> None:
    utm = crs.from_code("EPSG:32631")
    generator = np.random.default_rng(seed)
    x, y = (float(v) for v in generator.uniform((400_000, 100_000), (600_000, 6_000_000)))
    source = Grid((80, 90), Affine(30.0, 0.0, x, 0.0, -30.0, y), utm)
    values = np.arange(80 * 90, dtype=np.int32).reshape(1, 80, 90)
    middle = crs.transformer(utm, MERCATOR).transform(x + 1350, y - 1200)
    target = Grid((40, 40), Affine(50.0, 0.0, middle[0] - 1000, 0.0, -50.0, middle[1] + 1000), MERCATOR)
    found = resample(Block(values, np.ones(values.shape, bool)), source, target, method="nearest")
    rows, cols = np.mgrid[0:40, 0:40] + 0.5
    px, py = crs.transformer(MERCATOR, utm).transform(*(target.transform @ (cols, rows)))
    exact_cols, exact_rows = ~source.transform @ (np.asarray(px), np.asarray(py))
    assert found.mask.all()
    got_rows, got_cols = np.divmod(found.values[0], 90)
    # The cell that holds the centre; within a millionth of an edge, either.
    assert (np.abs(got_rows + 0.5 - exact_rows) <= 0.5 + 2e-6).all()
    assert (np.abs(got_cols + 0.5 - exact_cols) <= 0.5 + 2e-6).all()


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average", "mode"])
def test_what_only_seems_to_be_in_the_source_is_not_shown(method: str) -> None:
    """PROJ's formulas of the Czech grid lead from Norway into it; a target that holds both shows it once."""
    czech, degrees = crs.from_code("EPSG:5514"), crs.from_code("EPSG:4326")
    source = Grid((512, 512), Affine(1000.0, 0, -900_000.0, 0, -1000.0, -900_000.0), czech)
    target = Grid((120, 120), Affine(0.25, 0.0, 0.0, 0.0, -0.25, 70.0), degrees)
    block = Block(np.ones((1, *source.shape), np.float32), np.ones((1, *source.shape), bool))
    found = resample(block, source, target, method=method)
    rows, _ = np.nonzero(found.mask[0])
    # The window reaches from 47.2 to 53 N and 11 to 19.6 E.
    assert len(rows) > 500
    assert 70 - rows.max() / 4 > 46
    assert 70 - rows.min() / 4 < 54


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average", "max"])
@pytest.mark.parametrize("angle", [0.0, 30.0, 200.0])
def test_turned_grids_are_read_across_the_antimeridian(method: str, angle: float) -> None:
    degrees, utm = crs.from_code("EPSG:4326"), crs.from_code("EPSG:32701")
    turned = Affine.translation(180, -15) @ Affine.rotation(angle) @ Affine.scale(0.02, -0.02)
    source = Grid((300, 300), turned @ Affine.translation(-150, -150), degrees)
    values = sphere.expected(source).astype(np.float32)[np.newaxis]
    for target in (
        Grid((100, 100), Affine(2000.0, 0, 70_000.0, 0, -2000.0, 10e6 - 1.55e6), utm),
        Grid((100, 100), Affine(0.02, 0, 179.0, 0, -0.02, -14.0), degrees),
    ):
        found = resample(Block(values, np.ones(values.shape, bool)), source, target, method=method)
        assert found.mask.all()
        error = np.abs(found.values[0] - sphere.expected(target))
        # Half a diagonal of a cell; of those that a cell touches, the greatest may be a whole one away.
        assert error.max() <= (1.8 if method == "max" else 0.8) * sphere.STEEPEST * 0.02


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
def test_each_band_has_its_own_mask(method: str) -> None:
    block = block_of("float32", share=1.1)
    block.mask[0, :, :8] = False
    target = Grid((20, 20), Affine(0.00006, 0, 0.045, 0, -0.000045, 0.0808), crs.from_code("EPSG:4326"))
    found = resample(block, FINE, target, method=method)
    assert found.mask[1].all()
    assert 0.2 < found.mask[0].mean() < 0.8
    alone = resample(Block(block.values[:1], block.mask[:1]), FINE, target, method=method)
    assert np.array_equal(alone.mask[0], found.mask[0])
    assert np.array_equal(alone.values[0][alone.mask[0]], found.values[0][found.mask[0]])


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        resample(block_of("uint8"), FINE, FINE, method="gauss")
    assert caught.value.parameter == "resampling"


def test_unknown_and_categorical_levels_are_sampled_not_averaged() -> None:
    made = {name: shrinking_method(name) for name in ("average", "bilinear", "mode", "min", "nearest", "own", None)}
    assert made == {
        "average": "average",
        "bilinear": "average",
        "mode": "mode",
        "min": "min",
        "nearest": "nearest",
        "own": "nearest",
        None: "nearest",
    }


def test_a_block_whose_mask_has_another_shape_is_refused() -> None:
    with pytest.raises(GridMismatchError) as caught:
        Block(np.zeros((1, 2, 2)), np.ones((2, 2), bool))
    assert caught.value.found == (2, 2)
