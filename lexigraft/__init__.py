"""Graft new languages onto pretrained language models.

Importing this package makes transformers know the models that it writes: `AutoModelForMaskedLM.from_pretrained(folder)` works
after `import lexigraft`, whichever of the two is imported first. Nothing heavy is imported here.
"""

from types import ModuleType

import wrapt

__version__ = "0.1.0"


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register(auto: ModuleType) -> None:
    from lexigraft.modeling.classes import register

    register(auto)
