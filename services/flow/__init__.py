"""The flow of work: throughput, cycle times, stuck tasks, and forecasts of completion.

`answers` and `pictures` are imported when they are first used, because they import NumPy. A worker without
such questions saves that memory.
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
