"""rioxarray: each level group as a dataset."""

import rioxarray  # noqa: F401 - registers `.rio`
import xarray as xr
from loop import box, main, number


def probe(job):
    levels, values, codes = [], [], []
    for level in job["levels"]:
        group = "/".join(part for part in (job["group"], level) if part)
        array = xr.open_zarr(job["path"], group=group, chunks=None)[job["variable"]]
        crs = array.rio.crs
        codes.append(None if crs is None else crs.to_epsg())
        array = array.isel(dict.fromkeys(array.dims[:-2], -1))
        transform, shape = array.rio.transform(), (array.rio.height, array.rio.width)
        placed = not transform.is_identity
        levels.append({"shape": shape, "bounds": box(transform, shape) if placed else None})
        if not values:
            for point in job["points"]:
                col, row = ~transform @ (point["x"], point["y"]) if placed else (point["col"], point["row"])
                values.append(number(array[int(row), int(col)]))
    return {"crs": codes[0] if len(set(codes)) == 1 else None, "levels": levels, "values": values}


if __name__ == "__main__":
    main(probe)
