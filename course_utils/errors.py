"""The errors of the course: one line each, what was expected, what was found, what to do."""

from __future__ import annotations


class CourseError(Exception):
    """Something the user can mend; the command line prints its one line and exits with 2."""


class DataError(CourseError):
    """A dataset is missing, damaged, or not in the layout its publisher gave it."""


class ManifestError(DataError):
    """A file in ``data_manifests`` breaks the schema."""


class DownloadError(DataError):
    """A file could not be fetched, or what came is not what the manifest promises."""


class ParameterError(CourseError):
    """A parameter has an unknown name, a wrong type or a value outside its range."""


class NotebookError(CourseError):
    """A notebook breaks one of the rules for lessons."""


class LessonFailed(CourseError):
    """A lesson was run and ended with an error; the command line exits with 1."""


class Stopped(CourseError):
    """Ctrl-C; the command line exits with 130, as the shell expects."""
