from __future__ import annotations

import numpy as np
import pytest

from pyramids import areas


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_squares_of_one_value_are_found(seed: int, has_mask: bool) -> None:
    """What mode skips by: the largest square, up to 3 x 3, of one value and of data alone, at each pixel."""
    rng = np.random.default_rng(seed)
    values = (rng.random((2, 23, 31)) < 0.06).astype(np.uint8)
    mask = rng.random((1, 23, 31)) > 0.03 if has_mask else np.ones((1, 1, 1), np.bool_)
    found = areas._uniform(values, mask, has_mask)
    expected = np.zeros(values.shape, np.int8)
    for band, row, col in np.ndindex(values.shape):
        expected[band, row, col] = -1
        for side in (1, 2, 3):
            square = np.s_[row : row + side, col : col + side]
            is_inside = row + side <= values.shape[1] and col + side <= values.shape[2]
            is_data = not has_mask or mask[0][square].all()
            if is_inside and is_data and np.unique(values[band][square]).size == 1:
                expected[band, row, col] = side - 1
    assert set(np.unique(expected)) == ({-1, 0, 1, 2} if has_mask else {0, 1, 2}), "the example has all kinds"
    assert np.array_equal(found, expected)
