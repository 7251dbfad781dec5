"""Datasets whose publisher is Kaggle, through kagglehub (no account is needed for public ones)."""

from __future__ import annotations

from pathlib import Path

from ..errors import DownloadError


def fetch(handle: str, by_hand: Path) -> Path:
    """Bring a dataset into kagglehub's own cache and return its folder there.

    Parameters
    ----------
    handle : str
        ``owner/dataset``.
    by_hand : Path
        Where a hand-made download belongs, for the error.

    Raises
    ------
    DownloadError
    """
    address = f"https://www.kaggle.com/datasets/{handle}"
    advice = f"check the network and run again, or save the archive from there as {by_hand}"
    try:
        import kagglehub

        return Path(kagglehub.dataset_download(handle))
    except ImportError as error:
        raise DownloadError(f"{address} needs the package kagglehub: {advice}") from error
    except Exception as error:  # kagglehub raises errors of many libraries
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"{address} could not be fetched ({reason}): {advice}") from error
