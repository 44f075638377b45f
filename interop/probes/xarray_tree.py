"""xarray: the whole store as a tree, a node each level."""

import xarray as xr
from loop import box, main, number


def probe(job):
    tree = xr.open_datatree(job["path"], engine="zarr", chunks=None)
    levels, values = [], []
    for level in job["levels"]:
        array = tree["/".join(part for part in (job["group"], level) if part)].to_dataset()[job["variable"]]
        row, col = job["dimensions"]
        shape = (array.sizes[row], array.sizes[col])
        if row not in array.coords or col not in array.coords:
            levels.append({"shape": shape, "bounds": None})
            plane = array.isel({name: -1 for name in array.dims if name not in (row, col)})
            values = values or [number(plane[point["row"], point["col"]]) for point in job["points"]]
            continue
        x, y = array[col].values, array[row].values
        a, e = float(x[1] - x[0]), float(y[1] - y[0])
        levels.append({"shape": shape, "bounds": box((a, 0, x[0] - a / 2, 0, e, y[0] - e / 2), shape)})
        if not values:
            array = array.isel({name: -1 for name in array.dims if name not in (row, col)})
            for point in job["points"]:
                values.append(number(array.sel({col: point["x"], row: point["y"]}, method="nearest")))
    return {"levels": levels, "values": values}


if __name__ == "__main__":
    main(probe)
