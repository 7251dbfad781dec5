"""What several test files need: real images, where they are, the nuclei twin, a local server."""

from pathlib import Path

import pytest
from folders import real_data

from course_utils import samples
from tests.local_server import LocalServer


@pytest.fixture(scope="session")
def real_nuclei() -> Path:
    """The folder of real BBBC038 images."""
    return real_data("stage1_train")


@pytest.fixture(scope="session")
def real_skin() -> Path:
    """The folder of real ISIC 2017 images."""
    return real_data("ISIC-2017_*_Data")


@pytest.fixture(scope="session")
def real_slices() -> Path:
    """The folder of real LGG slices."""
    return real_data("kaggle_3m")


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """A real chest CT."""
    return min(real_data("lung_ct/*.nii.gz").glob("lung_ct/*.nii.gz"))


@pytest.fixture(scope="session")
def real_brains() -> Path:
    """The folder of real OASIS scans, both layouts."""
    real_data("disc1")
    return real_data("malf")


@pytest.fixture(scope="session")
def small_twin(tmp_path_factory) -> Path:
    """A nuclei twin of 12 cases."""
    return samples.make("bbbc038", tmp_path_factory.mktemp("twin") / "nuclei", seed=1, cases=12)


@pytest.fixture(scope="module")
def local() -> LocalServer:
    """A server on loopback for the tests of a file; most want `server`."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def server(local: LocalServer) -> LocalServer:
    """The local server, as if nothing had been asked and nothing put there."""
    local.seen.clear()
    local.answers.clear()
    return local
