"""All rules at `--depth metadata`, in the order in which they run, and the requirements that are none.

The order is part of the checker: what is written wrongly comes before what says the wrong thing, and what one value
says before what several say together, so that the rule nearest to a fault reports it.
"""

from __future__ import annotations

from conformance import (
    rules_codecs,
    rules_consolidated,
    rules_coordinates,
    rules_dimensions,
    rules_documents,
    rules_flags,
    rules_geozarr,
    rules_grid_mapping,
    rules_legacy,
    rules_levels,
    rules_missing,
    rules_multiscales,
    rules_ngff,
    rules_proj,
    rules_registration,
    rules_spatial,
    rules_tile_limits,
    rules_tiles,
    rules_time,
    rules_tms,
    rules_units,
)

RULES = (
    *rules_consolidated.RULES,
    *rules_documents.RULES,
    *rules_codecs.RULES,
    *rules_dimensions.RULES,
    *rules_missing.RULES,
    *rules_registration.RULES,
    *rules_multiscales.RULES,
    *rules_spatial.RULES,
    *rules_proj.RULES,
    *rules_grid_mapping.RULES,
    *rules_coordinates.RULES,
    *rules_time.RULES,
    *rules_units.RULES,
    *rules_levels.RULES,
    *rules_flags.RULES,
    *rules_tms.RULES,
    *rules_tiles.FIRST_RULES,
    *rules_tile_limits.RULES,
    *rules_geozarr.RULES,
    *rules_legacy.RULES,
    *rules_ngff.RULES,
)

_READER = "says what a reader does; a store can neither keep nor break it"
_MAY = "a permission: a store cannot break it"
_SERVICE = "asked of a tile service, not of a store; of this project's by"
_UNTRIED = ", so no prediction could be held against it;"
NOT_CHECKED: dict[str, str] = {
    "ZC-05": _READER,
    "ZC-06": _READER,
    "ZC-11": "no key of a convention can change decoding; ZARR-01, 07 and 10 see that arrays decode by themselves",
    "MS-14": "the same values as MS-15, which reports them; what they mean is in flux",
    "MS-19": "how layouts are found: each multiscale group is judged by its own layout alone",
    "MS-21": _MAY,
    "SP-06": "the meaning of the transform; XC-01 and XC-06 hold boxes and coordinates against it",
    "SP-13": "how attributes are inherited: one step; SP-01, SP-04 and PJ-09 report what relies on more",
    "SP-15": "XC-03 and XC-04 report it",
    "SP-16": "a limit of the convention's scope, nothing to keep",
    "SP-17": "a permission; XC-06 compares coordinate arrays where they are",
    "PJ-08": "says what a reader does; PJ-07 surfaces the discrepancy",
    "CF-10": "a trap for readers; this checker reads the raw metadata",
    "CF-29": "drafts to be tolerated; an unknown convention is no fault",
    "ZARR-14": "the same comparison as ZARR-11, which reports it",
    "ZARR-15": "the same comparison as ZARR-11, which reports it",
    "ZARR-16": "a duty of the writer; a document does not show which number was meant",
    "TMS-09": "how positions are computed; XC-11 and TMS-20 to TMS-23 hold levels against it",
    "TMS-13": "tileset metadata are documents of a tile service, not of a store",
    "TMS-14": "media types are a matter of a tile service",
    "TMS-15": "which JSON schema draft to validate with",
    "TMS-25": "TMS-12 and TMS-23 bound the level by the matrix; the error of a reprojection does not show in a store",
    "OT-01": f"{_SERVICE} tests/tiler/test_ogc.py::test_a_tileset_has_what_the_standard_asks_for",
    "OT-02": f"{_SERVICE} tests/tiler/test_app.py::test_each_format_is_written",
    "OT-03": f"{_SERVICE} tests/tiler/test_app.py::test_each_format_is_written",
    "OT-04": f"{_SERVICE} tests/tiler/test_app.py::test_what_does_not_exist_is_404_for_a_minute",
    "OT-05": f"{_SERVICE} tests/tiler/test_app.py::test_a_tile_without_data_is_transparent",
    "OT-06": "asked of a tile service, not of a store; a SHOULD that this project's does not follow",
    "OT-07": f"{_SERVICE} tests/tiler/test_ogc.py::test_a_tileset_has_what_the_standard_asks_for",
    "OT-08": f"{_SERVICE} tests/tiler/test_ogc.py::test_tilesets_are_listed_with_what_the_standard_asks_for",
    "OT-09": f"{_SERVICE} tests/tiler/test_ogc.py::test_tile_matrix_sets_are_listed_with_their_definitions",
    "OT-10": f"{_SERVICE} tests/tiler/test_ogc.py::test_conformance_names_classes_of_the_standards",
    "RD-03": f"titiler-eopf is in no package registry{_UNTRIED} SP-14 and MS-20 report what it needs",
    "RD-06": f"deck.gl-raster reads GeoZarr in no released package{_UNTRIED} SP-14 and PJ-02 report what it needs",
    "RD-08": "the same as ZARR-12 to ZARR-14 for xarray, and XC-01 for who derives the transform from the box",
    "GZ-02": "open questions of the working group; a profile says which answer a store is judged by",
}
