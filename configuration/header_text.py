"""Settings that are sent in a header of HTTP, which carries ASCII alone."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr


def _fit_for_a_header(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value.get_secret_value()):
        raise ValueError(
            "must be printable ASCII characters, without spaces around them: no client could send others in a header"
        )
    return value


HeaderSecret = Annotated[SecretStr, AfterValidator(_fit_for_a_header)]
