"""All rules that `--depth geometry` adds, in the order in which they run: grids, tiles, coordinate values.

Statements of one fact come first (XC-02, XC-01, XC-09), then levels beside their tile matrices, then levels beside
each other, then coordinate values and CRS; each finding takes what it names out of the judgement of the rules below.
"""

from __future__ import annotations

from conformance import rules_agreement, rules_ngff, rules_placement, rules_ratios, rules_tiles

RULES = (
    *rules_placement.RULES,
    *rules_tiles.RULES,
    *rules_ratios.RULES,
    *rules_placement.LAST_RULES,
    *rules_agreement.RULES,
    *rules_ngff.LAST_RULES,
)
