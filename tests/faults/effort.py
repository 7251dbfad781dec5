"""How long the tests of faults may take: short in `make test`, long in `make faults`."""

import os

LONG = os.environ.get("COURSE_FAULTS") == "long"


def times(short: int, long: int) -> int:
    """Return a number of repetitions."""
    return long if LONG else short
