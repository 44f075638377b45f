"""odc-geo: each level group as a dataset."""

import odc.geo.xr  # noqa: F401 - registers `.odc`
import xarray as xr
from loop import box, main, number


def probe(job):
    levels, values, codes = [], [], []
    for level in job["levels"]:
        group = "/".join(part for part in (job["group"], level) if part)
        array = xr.open_zarr(job["path"], group=group, chunks=None)[job["variable"]]
        geobox = array.odc.geobox
        array = array.isel(dict.fromkeys(array.dims[:-2], -1))
        if geobox is None:
            levels.append({"shape": array.shape, "bounds": None})
            codes.append(None)
            values = values or [number(array[point["row"], point["col"]]) for point in job["points"]]
            continue
        codes.append(None if geobox.crs is None else geobox.crs.epsg)
        levels.append({"shape": tuple(geobox.shape), "bounds": box(geobox.transform, geobox.shape)})
        if not values:
            for point in job["points"]:
                col, row = ~geobox.transform @ (point["x"], point["y"])
                values.append(number(array[int(row), int(col)]))
    return {"crs": codes[0] if len(set(codes)) == 1 else None, "levels": levels, "values": values}


if __name__ == "__main__":
    main(probe)
