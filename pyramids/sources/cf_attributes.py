"""Attributes of xarray objects as plain Python values, wherever xarray keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def plain(value: Any) -> Any:
    """Turn what NetCDF libraries give (arrays, scalars of numpy, bytes) into JSON's types; one number stays one."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if value.size == 1 else value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def stated(variable: xr.DataArray | xr.Variable, key: str) -> Any:
    """Read an attribute; also one that xarray has moved to the encoding when it decoded the variable."""
    value = variable.attrs.get(key)
    return plain(variable.encoding.get(key) if value is None else value)


def text(variable: xr.DataArray | xr.Variable, key: str) -> str:
    """Read an attribute that is a text; "" where it is absent or something else."""
    value = stated(variable, key)
    return value.strip() if isinstance(value, str) else ""


def numbers(variable: xr.DataArray | xr.Variable, key: str) -> list[Any]:
    """Read an attribute that is one number or several; an empty list where it is absent or holds anything else."""
    value = stated(variable, key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    is_number = all(isinstance(item, int | float) and not isinstance(item, bool) for item in values)
    return values if is_number else []
