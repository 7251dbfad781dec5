"""Figures of the course: what a segmentation looks like, and how its scores compare.

Functions that draw one panel take ``ax=None`` and return the axes; functions that lay out several
panels return the figure. Nothing is displayed until `show` is called with the figure and its
alt text. Colours are those of Okabe and Ito, told apart with every kind of colour vision; where a
colour carries meaning, a line style or a marker carries it too.
"""

from .charts import ap_curve, bland_altman, compare, curves, intervals, spread, table
from .display import is_static, png, show
from .images import (
    colour_instances,
    contour_overlay,
    displayable,
    gallery,
    instance_overlay,
    montage,
    scale_bar,
    watershed_steps,
)
from .segmentation import PANELS, dice_against_size, five_panels, risk_coverage, tinted
from .slices import (
    HU_WINDOWS,
    slice_image,
    slice_montage,
    slice_viewer,
    three_windows,
    windowed,
)
from .viewers import explore, gallery_viewer, watershed_explorer
from .volumes import plane_viewer, three_planes

__all__ = [
    "HU_WINDOWS",
    "PANELS",
    "ap_curve",
    "bland_altman",
    "colour_instances",
    "compare",
    "contour_overlay",
    "curves",
    "dice_against_size",
    "displayable",
    "explore",
    "five_panels",
    "gallery",
    "gallery_viewer",
    "instance_overlay",
    "intervals",
    "is_static",
    "montage",
    "plane_viewer",
    "png",
    "risk_coverage",
    "scale_bar",
    "show",
    "slice_image",
    "slice_montage",
    "slice_viewer",
    "spread",
    "table",
    "three_planes",
    "three_windows",
    "tinted",
    "watershed_explorer",
    "watershed_steps",
    "windowed",
]
