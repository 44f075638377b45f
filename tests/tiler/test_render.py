from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from rio_tiler.models import ImageData

from geozarr import crs
from geozarr.errors import ParameterError
from geozarr.grid import Grid
from tiler import colormaps
from tiler import render as render_module
from tiler.block import Block
from tiler.colors import Colors, Ramp, parse_colormap
from tiler.picture import Picture
from tiler.render import MEDIA_TYPES, to_bytes


def picture(ranges: Any = (), colors: Colors | None = None, **more: Any) -> Picture:
    return Picture((), tuple(ranges), colors, **more)


def grid_of(shape: tuple[int, int]) -> Grid:
    return Grid(shape, Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 4_000_000.0), crs.from_code("EPSG:32613"))


def render(block: Block, what: Picture, image_format: str | None) -> tuple[bytes, str]:
    return render_module.render(block, what, image_format, lambda: grid_of(block.values.shape[1:]))


def block_of(values: np.ndarray, mask: np.ndarray | bool = True) -> Block:
    values = values if values.ndim == 3 else values[np.newaxis]
    return Block(values, np.broadcast_to(mask, values.shape).copy())


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


@given(
    values=arrays.arrays(np.float64, (4, 4), elements=st.floats(-1e6, 1e6)),
    low=st.integers(-1000, 1000),
    width=st.integers(1, 2000),
)
def test_a_range_becomes_0_to_255_rounded_and_clipped(values: np.ndarray, low: int, width: int) -> None:
    found = to_bytes(block_of(values), ((low, low + width),))
    share = (np.clip(values, low, low + width) - low) / width * 255
    assert (np.abs(found[0] - share) <= 0.5 + 1e-9).all()


def test_missing_numbers_and_infinities_make_no_warning() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 5.0]], np.float32)
    assert to_bytes(block_of(values), ((0.0, 10.0),)).tolist() == [[[0, 255], [0, 128]]]


@pytest.mark.parametrize("colormap", ["viridis", "gray", "terrain"])
def test_a_palette_png_has_the_colours_of_the_table(colormap: str) -> None:
    data, media_type = render(block_of(RAMP), picture(colors=Ramp(colormap)), "png")
    image = opened(data)
    assert (media_type, image.mode) == ("image/png", "P")
    assert np.array_equal(np.asarray(image.convert("RGBA")), colormaps.table(colormap)[RAMP])


def test_a_masked_palette_png_keeps_every_colour_and_is_transparent_where_masked() -> None:
    values = RAMP % 255  # 255 is free for what is masked
    mask = RAMP % 3 != 0
    image = opened(render(block_of(values, mask), picture(colors=Ramp("viridis")), "png")[0])
    assert image.mode == "P"
    pixels = np.asarray(image.convert("RGBA"))
    assert np.array_equal(pixels[mask], colormaps.table("viridis")[values[mask]])
    assert (pixels[~mask][:, 3] == 0).all()


def test_all_256_colours_and_transparency_together_become_rgba() -> None:
    values = np.concatenate([RAMP, RAMP])
    mask = np.concatenate([np.ones((16, 16), bool), np.zeros((16, 16), bool)])
    image = opened(render(block_of(values, mask), picture(colors=Ramp("viridis")), "png")[0])
    assert image.mode == "RGBA"
    pixels = np.asarray(image)
    assert np.array_equal(pixels[:16], colormaps.table("viridis")[RAMP])
    assert (pixels[16:] == 0).all()


def test_a_table_with_its_own_transparency_keeps_it() -> None:
    table = colormaps.table("viridis").copy()
    table[:, 3] = np.arange(256)
    data, media_type = render(block_of(RAMP), picture(colors=Ramp(table.tobytes())), None)
    assert media_type == "image/png"
    assert np.array_equal(np.asarray(opened(data).convert("RGBA")), table[RAMP])


def test_a_single_band_without_a_colormap_is_grey() -> None:
    image = opened(render(block_of(RAMP), picture(), "png")[0])
    assert np.array_equal(np.asarray(image.convert("L")), RAMP)


def test_a_png_of_three_bands_has_them_as_they_are() -> None:
    values = np.stack([RAMP, RAMP.T, 255 - RAMP])
    image = opened(render(block_of(values), picture(), "png")[0])
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.moveaxis(values, 0, -1))


def test_a_pixel_of_three_bands_shows_where_any_band_is_valid() -> None:
    values = np.stack([RAMP, RAMP, RAMP])
    mask = np.ones(values.shape, bool)
    mask[:, 0, 0] = False
    mask[0, 0, 1] = False
    pixels = np.asarray(opened(render(Block(values, mask), picture(), "png")[0]))
    assert pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[0, 1].tolist() == [1, 1, 1, 255]


def test_jpeg_is_white_where_nothing_is_shown() -> None:
    values = np.zeros((3, 32, 32), np.uint8)
    mask = np.zeros(values.shape, bool)
    mask[:, :, :16] = True
    data, media_type = render(Block(values, mask), picture(), "jpg")
    pixels = np.asarray(opened(data)).astype(int)
    assert (media_type, opened(data).format) == ("image/jpeg", "JPEG")
    assert (pixels[:, :12] < 20).all()
    assert (pixels[:, 20:] > 235).all()


def test_webp_keeps_transparency() -> None:
    values = np.full((3, 32, 32), 100, np.uint8)
    mask = np.zeros(values.shape, bool)
    mask[:, :, :16] = True
    data, media_type = render(Block(values, mask), picture(), "webp")
    image = opened(data)
    assert (media_type, image.format, image.mode) == ("image/webp", "WEBP", "RGBA")
    assert np.array_equal(np.asarray(image)[..., 3] > 0, mask[0])
    assert opened(render(block_of(values), picture(), "webp")[0]).mode == "RGB"


def test_without_a_format_a_full_tile_is_jpeg_and_a_masked_one_png() -> None:
    assert render(block_of(RAMP), picture(colors=Ramp("gray")), None)[1] == "image/jpeg"
    assert render(block_of(RAMP, RAMP > 0), picture(colors=Ramp("gray")), None)[1] == "image/png"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 3])
def test_npy_is_what_rio_tiler_writes(dtype: str, count: int) -> None:
    values = np.random.default_rng(0).integers(0, 100, (count, 8, 9)).astype(dtype)
    mask = np.random.default_rng(1).random(values.shape) < 0.6
    expected = ImageData(np.ma.MaskedArray(values, mask=~mask)).render(img_format="NPY")
    data, media_type = render(Block(values, mask), picture(), "npy")
    assert media_type == MEDIA_TYPES["npy"]
    assert data == expected


def test_npy_applies_a_range_and_a_colormap_where_asked() -> None:
    values = np.arange(256, dtype=np.float32).reshape(1, 16, 16) * 2
    scaled = np.load(io.BytesIO(render(block_of(values), picture([(0.0, 510.0)]), "npy")[0]))
    assert (scaled.dtype, scaled.shape) == (np.uint8, (2, 16, 16))
    assert np.array_equal(scaled[0], RAMP)
    coloured = np.load(io.BytesIO(render(block_of(values), picture([(0.0, 510.0)], Ramp("viridis")), "npy")[0]))
    assert np.array_equal(np.moveaxis(coloured[:3], 0, -1), colormaps.table("viridis")[RAMP][..., :3])
    assert (coloured[3] == 255).all()


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        render(block_of(RAMP), picture(), "gif")
    assert caught.value.parameter == "format"


def test_classes_are_a_palette_that_shows_what_has_a_colour() -> None:
    values = np.array([[1, 2, 3], [3, 2, 900]], np.int32)
    mask = np.array([[True, True, False], [True, True, True]])
    colors = parse_colormap('{"1": "#ff0000", "3": [0, 0, 255, 128]}')
    image = opened(render(block_of(values, mask), picture(colors=colors), "png")[0])
    assert image.mode == "P"
    clear, red, blue = [0, 0, 0, 0], [255, 0, 0, 255], [0, 0, 255, 128]
    assert np.asarray(image.convert("RGBA")).tolist() == [[red, clear, clear], [blue, clear, clear]]


def test_what_is_missing_is_shown_like_other_values_where_no_mask_is_wanted() -> None:
    image = opened(render(block_of(RAMP, RAMP > 10), picture(is_masked=False), "png")[0])
    assert np.array_equal(np.asarray(image.convert("RGBA"))[..., 0], RAMP)
    assert (np.asarray(image.convert("RGBA"))[..., 3] == 255).all()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "float16", "float32", "float64"])
def test_a_geotiff_has_the_values_their_place_and_what_is_missing(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (2, 30, 40)).astype(dtype)
    shown = np.random.default_rng(1).random((30, 40)) < 0.6
    data, media_type = render(Block(values, np.stack([shown, shown])), picture(), "tif")
    assert media_type.startswith("image/tiff")
    with rasterio.MemoryFile(data) as file, file.open() as dataset:
        assert (dataset.crs.to_epsg(), dataset.transform) == (32613, grid_of((30, 40)).transform)
        found = dataset.read(masked=True)
        if dtype.startswith("float"):
            assert (dataset.count, np.isnan(dataset.nodata)) == (2, True)
            assert np.array_equal(np.ma.getmaskarray(found)[0], ~shown)
        else:
            assert (dataset.count, dataset.colorinterp[2].name) == (3, "alpha")
            assert np.array_equal(dataset.read(3), np.where(shown, 255, 0).astype(found.dtype))
        assert np.array_equal(dataset.read()[:2][:, shown], values[:, shown].astype(found.dtype))
