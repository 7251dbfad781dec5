"""Checks of the exercises of lesson 6, chest CT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Wrong, exercise, returned


@exercise
def hounsfield(to_hu: Callable[[np.ndarray, float, float], Any]) -> str:
    """Check a function that turns stored numbers into Hounsfield units.

    Parameters
    ----------
    to_hu : callable
        ``to_hu(stored, slope, intercept)`` on an int16 array; a slope of 0 or NaN means that
        nothing was scaled.

    Returns
    -------
    Verdict
    """
    stored = np.array([24, 1064, 2024, 30_000], np.int16)
    for slope, intercept in ((1.0, -1024.0), (2.0, -1000.0), (0.5, 0.0)):
        found = _array(to_hu(stored.copy(), slope, intercept), stored.shape)
        expected = stored.astype(float) * slope + intercept
        if np.allclose(found, stored + intercept) and slope != 1:
            raise Wrong(f"slope {slope:g} changes nothing in your result: what is it for?")
        if np.allclose(found, (stored + intercept) * slope) and slope != 1 and intercept:
            raise Wrong("which comes first, the slope or the intercept? Look at the formula again")
        if not np.allclose(found[:3], expected[:3]):
            raise Wrong(
                f"stored {stored[0]} with slope {slope:g} and intercept {intercept:g}: your "
                f"function says {found[0]:g}; work it out by hand"
            )
        if not np.allclose(found, expected):
            raise Wrong(
                f"small numbers are right, but {stored[3]} became {found[3]:g}: how far does the "
                "data type reach?"
            )
    for slope in (0.0, float("nan")):
        if not np.allclose(_array(to_hu(stored.copy(), slope, slope), stored.shape), stored):
            raise Wrong(
                f"a slope of {slope:g} says that the numbers were never scaled: what are they then?"
            )
    return "HU = slope * stored + intercept, and no slope means that they are HU already"


@exercise
def normalise(function: Callable[[np.ndarray], Any]) -> str:
    """Check a function that brings HU to 0..1.

    The published recipe writes its limits into the array that it was given.

    Parameters
    ----------
    function : callable
        ``function(volume)`` clips HU to -1000..400, scales them to 0..1 and returns float32;
        the volume itself stays as it was.

    Returns
    -------
    Verdict
    """
    for dtype in (np.float64, np.int16):
        volume = np.array([[-2000, -1000, -300], [400, 1500, -930]], dtype)
        given = volume.copy()
        found = _array(function(given), volume.shape)
        if not np.array_equal(given, volume):
            raise Wrong(
                "after your function the scan itself has changed: its bone and its air are gone "
                "for everyone who reads the array later"
            )
        expected = (np.clip(volume.astype(float), -1000, 400) + 1000) / 1400
        if found.max() > 1 or found.min() < 0:
            span = f"{found.min():.2f} to {found.max():.2f}"
            raise Wrong(f"your result spans {span}: what is clipped?")
        if not np.allclose(found, expected, atol=1e-5):
            raise Wrong("-1000 HU becomes 0, 400 becomes 1, and -300 lies half-way: check these")
        if np.asarray(function(volume.copy())).dtype != np.float32:
            raise Wrong("right, but float64 costs twice the memory of float32")
    return "clipped, scaled, and the scan is still what it was"


@exercise
def learning_rate(function: Callable[[int, int], Any]) -> str:
    """Check the learning-rate schedule of the tutorial at the end of an epoch.

    ``ExponentialDecay(1e-4, decay_steps=30, decay_rate=0.96, staircase=True)``

    Parameters
    ----------
    function : callable
        ``function(epoch, steps)``: the learning rate after ``epoch`` epochs of ``steps`` batches.

    Returns
    -------
    Verdict
    """
    for epoch, steps in ((46, 70), (10, 70), (1, 29), (3, 50)):
        found = float(_array(function(epoch, steps), ()))
        if np.isclose(found, 1e-4 * 0.96 ** (epoch // 30), rtol=1e-6) and epoch >= 30:
            raise Wrong("decay_steps counts batches, not epochs: how many are over by then?")
        if np.isclose(found, 1e-4 * 0.96 ** (epoch * steps / 30), rtol=1e-6) and (
            epoch * steps % 30
        ):
            raise Wrong("staircase=True: the rate falls in steps, so only whole thirties count")
        if not np.isclose(found, 1e-4 * 0.96 ** (epoch * steps // 30), rtol=1e-6):
            raise Wrong(
                f"after {epoch} epochs of {steps} batches yours is {found:.3g}: how often has "
                "0.96 been multiplied in by then?"
            )
    return "a schedule in steps must be set to the number of steps there will be"


@exercise
def predictive_value(function: Callable[[float, float, float], Any]) -> str:
    """Check the positive predictive value at a given prevalence.

    Parameters
    ----------
    function : callable
        ``function(sensitivity, specificity, prevalence)``, all between 0 and 1.

    Returns
    -------
    Verdict
    """
    cases = ((0.9, 0.8, 0.5), (0.9, 0.8, 0.1), (0.6, 0.95, 0.02))
    for sensitivity, specificity, prevalence in cases:
        found = float(_array(function(sensitivity, specificity, prevalence), ()))
        ill, well = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
        if np.isclose(found, sensitivity / (sensitivity + 1 - specificity)) and prevalence != 0.5:
            raise Wrong("your answer is the same for a rare and a common disease: can that be?")
        if np.isclose(found, sensitivity * prevalence):
            raise Wrong("that is the share of everybody who is ill and found: who is asked about?")
        if not np.isclose(found, ill / (ill + well)):
            raise Wrong(
                f"of 1000 people {1000 * prevalence:g} are ill: how many of them are called ill, "
                f"how many of the others, and what share is right? Yours says {found:.3f}"
            )
    return "the rarer the disease, the more of the alarms are false, with the very same network"


def _array(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a student's numbers as float, or raise a hint about their shape."""
    found = np.asarray(returned(value))
    if found.dtype.kind not in "biuf":
        raise Wrong(f"numbers were expected, found {found.dtype}")
    if found.shape != shape:
        raise Wrong(f"a result of shape {shape} was expected, found {found.shape}")
    return found.astype(float)
