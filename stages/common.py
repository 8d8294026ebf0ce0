"""What every stage does first and last: read its parameters, and end in one line if it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cxr_distill.errors import CxrError
from cxr_distill.params.strict import ParamsT, parse


def load_params(section: str, kind: type[ParamsT]) -> ParamsT:
    """The section (a dotted key) of ./params.yaml as `kind`. Raises CxrError if it is missing or wrong."""
    try:
        values: Any = yaml.safe_load(Path("params.yaml").read_text())
        for key in section.split("."):
            values = values[key]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read params.yaml: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError):
        raise CxrError(f"params.yaml has no section {section}") from None
    return parse(kind, values, section)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage; a CxrError becomes one line on stderr and exit status 1."""
    try:
        main()
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
