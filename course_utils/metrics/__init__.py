"""How good a segmentation is: masks, instances, counts, and how sure one can be of a mean.

A *mask* is a boolean array of any shape. A *label map* (instance map) is an integer array, 0 for
background and one positive number an instance, with axes (y, x) or (z, y, x); its numbers need not
follow each other. The truth always comes first, the prediction second.

The rule for empty cases is one for all scores: **nothing there and nothing predicted scores 1**;
when only one of the two is empty the score is 0.
"""

from .boundary import boundary, boundary_distance, boundary_f1
from .instances import (
    THRESHOLDS,
    Matches,
    PanopticQuality,
    average_precision,
    count_error,
    errors_by_kind,
    iou_matrix,
    match,
    panoptic_quality,
)
from .masks import dice, iou, pixel_accuracy, thresholded_iou
from .selective import RiskCoverage, risk_coverage
from .surface import average_surface_distance, hd95, surface_distances
from .uncertainty import Interval, bootstrap, paired_bootstrap
from .volumes import slice_scores, volume_dice

__all__ = [
    "THRESHOLDS",
    "Interval",
    "Matches",
    "PanopticQuality",
    "RiskCoverage",
    "average_precision",
    "average_surface_distance",
    "bootstrap",
    "boundary",
    "boundary_distance",
    "boundary_f1",
    "count_error",
    "dice",
    "errors_by_kind",
    "hd95",
    "iou",
    "iou_matrix",
    "match",
    "paired_bootstrap",
    "panoptic_quality",
    "pixel_accuracy",
    "risk_coverage",
    "slice_scores",
    "surface_distances",
    "thresholded_iou",
    "volume_dice",
]
