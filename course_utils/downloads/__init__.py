"""From a manifest to a dataset folder: mirrors, resume, checksums, safe unpacking, one writer.

``get`` brings a whole dataset, ``find`` and ``coverage`` look at what is there, ``verify`` compares
it file by file. Unfinished work and hand-made downloads lie in ``<root>/downloads/<name>``.
"""

from .assemble import get, licence_text
from .folders import Coverage, Found, Verification, coverage, find, verify
from .transfer import Patience

__all__ = [
    "Coverage",
    "Found",
    "Patience",
    "Verification",
    "coverage",
    "find",
    "get",
    "licence_text",
    "verify",
]
