"""Graft new languages onto pretrained language models.

Importing this package registers its model classes with transformers: after `import lexigraft`,
`AutoModelForMaskedLM.from_pretrained(folder)` loads its models, in either order of the imports. It imports nothing heavy.
"""

from types import ModuleType

import wrapt

__version__ = "0.1.0"


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register(auto: ModuleType) -> None:
    from lexigraft.modeling.classes import register

    register(auto)
