"""rasterix: an index of its own for each level group."""

import rasterix
import xarray as xr
from loop import box, main, number


def probe(job):
    levels, values, codes = [], [], []
    for level in job["levels"]:
        group = "/".join(part for part in (job["group"], level) if part)
        dataset = rasterix.assign_index(xr.open_zarr(job["path"], group=group, chunks=None))
        array = dataset[job["variable"]]
        row, col = job["dimensions"]
        index = array.xindexes[col]
        crs = index.crs
        codes.append(None if crs is None else crs.to_epsg())
        shape = (array.sizes[row], array.sizes[col])
        levels.append({"shape": shape, "bounds": box(index.transform(), shape)})
        if not values:
            array = array.isel({name: -1 for name in array.dims if name not in (row, col)})
            for point in job["points"]:
                found = array.sel({col: [point["x"]], row: [point["y"]]}, method="nearest")
                values.append(number(found.values.ravel()[0]))
    return {"crs": codes[0] if len(set(codes)) == 1 else None, "levels": levels, "values": values}


if __name__ == "__main__":
    main(probe)
