from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from geozarr import store
from geozarr.errors import ParameterError, UnknownNameError
from tiler.picture import Wish, compose, values_of
from tiler.pyramid import Pyramid, Statistics, open_pyramid


def pyramid_of(stored: Any) -> Pyramid:
    return open_pyramid(store.open_store(stored.path))


def with_statistics(pyramid: Pyramid, statistics: Statistics | None) -> Pyramid:
    return replace(pyramid, variables=tuple(replace(item, statistics=statistics) for item in pyramid.variables))


def test_bytes_are_shown_as_they_are(stores: dict[str, Any]) -> None:
    picture = compose(pyramid_of(stores["colour"]), Wish())
    assert [band.name for band in picture.bands] == ["red", "green", "blue"]
    assert (picture.ranges, picture.colormap) == ((), None)
    single = compose(pyramid_of(stores["colour"]), Wish(("green",)))
    assert (single.ranges, single.colormap) == ((), None)


def test_other_values_are_stretched_over_the_stored_percentiles(stores: dict[str, Any]) -> None:
    values = stores["height"].array("10", "height")
    low, high = np.percentile(values[~np.isnan(values)].astype(float), (2, 98))
    picture = compose(pyramid_of(stores["height"]), Wish(colormap="viridis"))
    assert (picture.ranges, picture.colormap) == (((low, high),), "viridis")


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [(Statistics(1, 9, 4, 4), (1, 9)), (Statistics(5, 5, 5, 5), (5, 6))],
)
def test_a_stretch_without_width_is_widened(
    stores: dict[str, Any], statistics: Statistics, expected: tuple[float, float]
) -> None:
    assert compose(with_statistics(pyramid_of(stores["height"]), statistics), Wish()).ranges == (expected,)


def test_without_statistics_integers_use_their_dtype_and_floats_ask(stores: dict[str, Any]) -> None:
    assert compose(pyramid_of(stores["count"]), Wish()).ranges == ((0, 65535),)
    with pytest.raises(ParameterError) as caught:
        compose(with_statistics(pyramid_of(stores["height"]), None), Wish())
    assert caught.value.parameter == "rescale"


def test_one_range_serves_all_bands(stores: dict[str, Any]) -> None:
    wish = Wish(ranges=((10.0, 20.0),))
    assert compose(pyramid_of(stores["colour"]), wish).ranges == ((10.0, 20.0),) * 3


def test_numbers_are_left_alone_unless_asked(stores: dict[str, Any]) -> None:
    assert values_of(pyramid_of(stores["height"]), Wish()).ranges == ()
    assert values_of(pyramid_of(stores["height"]), Wish()).colormap is None
    assert values_of(pyramid_of(stores["count"]), Wish(colormap="viridis")).ranges == ((0, 65535),)
    assert len(values_of(pyramid_of(stores["stack"]), Wish(("data",), (1, 2))).bands) == 2


@pytest.mark.parametrize(
    ("name", "wish", "parameter"),
    [
        ("stack", Wish(("data",), (1, 2)), "variable"),
        ("stack", Wish(("data",), (4,)), "bidx"),
        ("colour", Wish(("red", "green", "blue"), (1, 1)), "variable"),
        ("colour", Wish(ranges=((0, 1), (0, 1))), "rescale"),
        ("colour", Wish(colormap="viridis"), "colormap_name"),
        ("height", Wish(colormap="nothing"), "colormap_name"),
    ],
)
def test_a_wish_that_does_not_fit_names_its_parameter(
    stores: dict[str, Any], name: str, wish: Wish, parameter: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        compose(pyramid_of(stores[name]), wish)
    assert caught.value.parameter == parameter


def test_an_unknown_variable_is_an_error(stores: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError):
        compose(pyramid_of(stores["colour"]), Wish(("infrared",)))
