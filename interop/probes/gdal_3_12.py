"""GDAL 3.12 as rasterio's wheel has it."""

import math

import rasterio
from loop import box, main
from rasterio.windows import Window


def probe(job):
    levels, values, code = [], [], None
    for number, level in enumerate(job["levels"]):
        inner = "/".join(part for part in (job["group"], level, job["variable"]) if part)
        with rasterio.open(f'ZARR:"{job["path"]}":/{inner}') as dataset:
            is_placed = dataset.transform != rasterio.Affine.identity()
            if not is_placed:
                levels.append({"shape": dataset.shape, "bounds": None})
            else:
                levels.append({"shape": dataset.shape, "bounds": box(dataset.transform, dataset.shape)})
            if number:
                dataset.read(1)
                continue
            code = None if dataset.crs is None else dataset.crs.to_epsg()
            has_overviews = bool(dataset.overviews(1))
            band = dataset.count
            for point in job["points"]:
                here = point["row"], point["col"]
                row, col = dataset.index(point["x"], point["y"]) if is_placed else here
                value = float(dataset.read(band, window=Window(col, row, 1, 1))[0, 0])
                scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
                missing = math.isnan(value) or value == dataset.nodata
                values.append(None if missing else value * scale + offset)
    return {"crs": code, "levels": levels, "values": values, "overviews": has_overviews}


if __name__ == "__main__":
    main(probe)
