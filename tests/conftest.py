"""What several test files need: the real images, where they are, and the nuclei twin, made once."""

import os
from pathlib import Path

import pytest

from course_utils import samples


@pytest.fixture(scope="session")
def real_nuclei() -> Path:
    """The folder of real BBBC038 images named by COURSE_DATA; the test is skipped without it."""
    root = Path(os.environ.get("COURSE_DATA", ""))
    if not (os.environ.get("COURSE_DATA") and (root / "stage1_train").is_dir()):
        pytest.skip("needs real images: set COURSE_DATA to a folder that holds stage1_train")
    return root


@pytest.fixture(scope="session")
def small_twin(tmp_path_factory) -> Path:
    """A nuclei twin of 12 cases."""
    return samples.make("bbbc038", tmp_path_factory.mktemp("twin") / "nuclei", seed=1, cases=12)


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """A real chest CT in the folder named by COURSE_DATA; the test is skipped without it."""
    root = Path(os.environ.get("COURSE_DATA", ""))
    found = sorted(root.glob("lung_ct/*.nii.gz")) if os.environ.get("COURSE_DATA") else []
    if not found:
        pytest.skip("needs a real CT: set COURSE_DATA to a folder that holds lung_ct")
    return found[0]


@pytest.fixture(scope="session")
def real_brains() -> Path:
    """The folder of real OASIS scans named by COURSE_DATA; the test is skipped without it."""
    root = Path(os.environ.get("COURSE_DATA", ""))
    if not (os.environ.get("COURSE_DATA") and (root / "malf").is_dir()):
        pytest.skip("needs real brains: set COURSE_DATA to a folder that holds malf and disc1")
    return root
