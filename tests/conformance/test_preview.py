"""Previews: what is shown of pixels, and that whatever cannot be read is told in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import obstore
import pytest
from rasterio.io import MemoryFile

from conformance import check, preview


def decoded(png: bytes) -> np.ndarray:
    with MemoryFile(png) as file, file.open() as picture:
        assert picture.driver == "PNG"
        return np.moveaxis(picture.read(), 0, -1)


def pyramid_of(store: Any, **options: Any):
    return check(store, picture=True, **options).drawing.pyramids[0]


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 200)])
def test_png_is_what_another_reader_reads(shape) -> None:
    rgba = np.random.default_rng(3).integers(0, 256, (*shape, 4)).astype(np.uint8)
    assert np.array_equal(decoded(preview.png(rgba)), rgba)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_small_level_is_shown_with_its_missing_pixels(stores) -> None:
    """No level has 256 cells, so the finest one is shown: 97 x 131, its values 0 to 199, with no -1 among them."""
    pyramid = pyramid_of(stores["packed"].edited())
    shown = pyramid.preview
    assert shown is not None
    assert (shown.height, shown.width, pyramid.note) == (97, 131, "")
    assert shown.about.startswith("height of level 0, 131 x 97 pixels; black is ")
    picture = decoded(shown.png)
    assert picture.shape == (97, 131, 4)
    assert (picture[..., 3] == 255).all()
    assert picture[..., 0].min() == 0
    assert picture[..., 0].max() == 255


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_pixels_without_data_are_transparent(stores) -> None:
    """A chunk that is not there is fill, -1, which is what says "no data" here."""
    store = stores["packed"].edited()
    obstore.delete(store, "0/height/c/0/0")
    shown = pyramid_of(store).preview
    assert shown is not None
    opacity = decoded(shown.png)[..., 3]
    expected = np.full((97, 131), 255)
    expected[:64, :64] = 0
    assert np.array_equal(opacity, expected)


def test_the_coarsest_level_that_shows_something_is_chosen(stores) -> None:
    """Levels of 1024, 512 and 256 cells a side: 256 is enough."""
    shown = pyramid_of(stores["tms"].edited()).preview
    assert shown is not None
    assert (shown.width, shown.height) == (256, 256)


def test_no_pixel_is_read_unless_wished(stores) -> None:
    with_it, without = (check(stores["tms"].edited(), picture=True, preview=wished) for wished in (True, False))
    assert without.drawing is not None
    assert without.drawing.pyramids[0].preview is None
    assert without.drawing.pyramids[0].note == ""
    assert without.bytes_read < with_it.bytes_read


def test_large_chunks_are_not_read(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        for path in ("0", "1", "2"):
            found[f"{path}/height"]["chunk_grid"]["configuration"]["chunk_shape"] = [10**5, 10**5]

    pyramid = pyramid_of(stores["packed"].edited(edit))
    assert pyramid.preview is None
    assert pyramid.note.startswith("There is no preview: ")


def test_many_small_chunks_are_not_read(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        for path in ("0", "1", "2"):
            found[f"{path}/height"]["chunk_grid"]["configuration"]["chunk_shape"] = [1, 1]

    pyramid = pyramid_of(stores["packed"].edited(edit))
    assert pyramid.note == "There is no preview: the chunks of the coarsest levels are too large, or too many."


def test_a_chunk_that_cannot_be_decoded_is_told(stores) -> None:
    store = stores["packed"].edited()
    obstore.put(store, "0/height/c/0/0", b"no zstd")
    pyramid = pyramid_of(store)
    assert pyramid.preview is not None
    assert pyramid.note == "Where the preview is empty, 1 objects cannot be read or there is no data."


def test_a_level_without_data_is_told(stores) -> None:
    store = stores["packed"].edited()
    for listed in [item["path"] for batch in obstore.list(store) for item in batch]:
        if listed.startswith("0/height/c/"):
            obstore.delete(store, listed)
    assert pyramid_of(store).note == "There is no preview: height of level 0 has no valid data."


def test_a_pyramid_without_levels_is_told(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found[""]["attributes"]["multiscales"]["layout"] = [{"asset": "nope"}]

    assert pyramid_of(stores["packed"].edited(edit)).note == "There is no preview: no level of the layout exists."
