from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from geozarr import store
from geozarr.errors import ParameterError, UnknownNameError
from tiler.colors import Ramp
from tiler.dimensions import parse_selectors
from tiler.picture import Wish, compose, values_of
from tiler.pyramid import Pyramid, Statistics, open_pyramid


def pyramid_of(stored: Any) -> Pyramid:
    return open_pyramid(store.open_store(stored.path))


def with_statistics(pyramid: Pyramid, statistics: Statistics | None) -> Pyramid:
    return replace(pyramid, variables=tuple(replace(item, statistics=statistics) for item in pyramid.variables))


def test_bytes_are_shown_as_they_are(stores: dict[str, Any]) -> None:
    picture = compose(pyramid_of(stores["colour"]), Wish())
    assert [band.name for band in picture.bands] == ["red", "green", "blue"]
    assert (picture.ranges, picture.colors) == ((), None)
    single = compose(pyramid_of(stores["colour"]), Wish(("green",)))
    assert (single.ranges, single.colors) == ((), None)


def test_other_values_are_stretched_over_the_stored_percentiles(stores: dict[str, Any]) -> None:
    values = stores["height"].array("10", "height")
    low, high = np.percentile(values[~np.isnan(values)].astype(float), (2, 98))
    picture = compose(pyramid_of(stores["height"]), Wish(colors=Ramp("viridis")))
    assert (picture.ranges, picture.colors) == (((low, high),), Ramp("viridis"))


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
    assert values_of(pyramid_of(stores["height"]), Wish()).colors is None
    assert values_of(pyramid_of(stores["count"]), Wish(colors=Ramp("viridis"))).ranges == ((0, 65535),)
    assert len(values_of(pyramid_of(stores["stack"]), Wish(("data",), (1, 2))).bands) == 2


@pytest.mark.parametrize(
    ("name", "wish", "parameter"),
    [
        ("stack", Wish(("data",), (1, 2)), "variable"),
        ("stack", Wish(("data",), (4,)), "bidx"),
        ("colour", Wish(("red", "green", "blue"), (1, 1)), "variable"),
        ("colour", Wish(ranges=((0, 1), (0, 1))), "rescale"),
        ("colour", Wish(colors=Ramp("viridis")), "colormap_name"),
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


def test_positions_are_where_values_come_from(stores: dict[str, Any]) -> None:
    pyramid = pyramid_of(stores["series"])
    for make in (values_of, compose):
        picture = make(pyramid, Wish(("heat",), (2,)), {"time": 3})
        assert [band.lead for band in picture.bands] == [(3, 1)]
        assert [band.lead for band in make(pyramid, Wish(), {"time": 3}).bands] == [(3, 0)]
        with pytest.raises(ParameterError) as caught:
            make(pyramid, Wish(("land",)), {"time": 3})
        assert caught.value.parameter == "sel"


def test_a_wish_is_a_key() -> None:
    wishes = [Wish(("heat",), selectors=parse_selectors([text])) for text in ("time=1", "time=exact::1", "time=pad::1")]
    assert (wishes[0], hash(wishes[0]), repr(wishes[0])) == (wishes[1], hash(wishes[1]), repr(wishes[1]))
    assert len(set(wishes)) == len({repr(wish) for wish in wishes}) == 2
