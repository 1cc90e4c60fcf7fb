"""How work flows: throughput, cycle times, what is stuck, and when it will be done.

`answers` and `pictures` are imported when they are first used: they take NumPy along, and with it memory that a
worker without such questions has no use for.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.flow import answers as answers
    from services.flow import pictures as pictures


def __getattr__(name: str) -> ModuleType:
    if name in ("answers", "pictures"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(name)
