"""What the course's own processes leave out when they start: imported first, for its effect.

nbformat imports jsonschema, and that a grammar of internationalised web addresses, which takes
longer to build than all the rest together: most of a second in every `course` command and before
every lesson. No notebook is checked by it. jsonschema goes on without it where it is missing.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
