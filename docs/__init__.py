"""The pages of the documentation, and `python -m docs`, which fills in what code and committed results say."""

import stages  # noqa: F401  (puts src/ on the path)
