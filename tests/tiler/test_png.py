"""PNG files, read back by Pillow and by GDAL."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from compiled_loops import loops  # noqa: F401 - used by all tests
from geozarr.errors import GridMismatchError
from tiler.png import encode_colors, encode_palette

SIDES = st.integers(1, 40)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.verify()  # checksums of all chunks
    return Image.open(io.BytesIO(data))


@st.composite
def palettes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    pixels = draw(npst.arrays(np.uint8, st.tuples(SIDES, SIDES)))
    return pixels, draw(npst.arrays(np.uint8, (256, 4)))


@settings(max_examples=100, deadline=None)
@given(palettes(), st.booleans())
def test_an_image_of_a_palette_shows_the_colours_of_its_indexes(
    image: tuple[np.ndarray, np.ndarray], is_smooth: bool
) -> None:
    pixels, table = image
    read = opened(encode_palette(pixels, table, is_smooth=is_smooth))
    assert read.mode == "P"
    np.testing.assert_array_equal(np.asarray(read.convert("RGBA")), table[pixels])
    np.testing.assert_array_equal(np.asarray(read), pixels)


@settings(max_examples=100, deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.sampled_from((3, 4)), SIDES, SIDES)))
def test_an_image_of_colours_shows_its_bands(bands: np.ndarray) -> None:
    read = opened(encode_colors(bands))
    assert read.mode == ("RGB" if len(bands) == 3 else "RGBA")
    np.testing.assert_array_equal(np.moveaxis(np.asarray(read), -1, 0), bands)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_reads_the_same() -> None:
    bands = np.random.default_rng(1).integers(0, 256, (3, 31, 17)).astype(np.uint8)
    with rasterio.MemoryFile(encode_colors(bands)) as file, file.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), bands)


def test_views_that_are_not_contiguous_are_written_as_they_look() -> None:
    bands = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    turned = np.moveaxis(bands, -1, 0)[:, ::-2]
    np.testing.assert_array_equal(np.moveaxis(np.asarray(opened(encode_colors(turned))), -1, 0), turned)


def test_colours_and_alpha_after_the_last_in_use_are_not_written() -> None:
    table = np.full((256, 4), 255, np.uint8)
    pixels = np.array([[0, 1], [2, 1]], np.uint8)
    opaque = encode_palette(pixels, table)
    assert b"PLTE" in opaque
    assert b"tRNS" not in opaque
    assert int.from_bytes(opaque[opaque.index(b"PLTE") - 4 : opaque.index(b"PLTE")], "big") == 3 * 3
    table[1, 3] = 0
    seen_through = encode_palette(pixels, table)
    place = seen_through.index(b"tRNS")
    assert seen_through[place - 4 : place + 6] == b"\0\0\0\x02tRNS\xff\0"


def test_few_classes_take_less_room_without_differences() -> None:
    table = np.full((256, 4), 255, np.uint8)
    classes = np.random.default_rng(3).integers(0, 9, (16, 16)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    assert len(encode_palette(classes, table, is_smooth=False)) < len(encode_palette(classes, table))


@pytest.mark.parametrize("shape", [(4, 4, 4, 4), (2, 4, 4), (4, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GridMismatchError):
        encode_colors(np.zeros(shape, np.uint8))
    with pytest.raises(GridMismatchError):
        encode_palette(np.zeros((4, 4), np.uint8), np.zeros(shape, np.uint8))
