"""Shared plumbing of the course "deep learning for medical images".

What is taught stays in the notebooks; what is plumbing lives here, one concern a module. Importing
the package, or any module of it, imports no deep-learning framework.
"""

__version__ = "0.1.0"
