"""Small state dicts in every spelling the recipes know, written out from the key names alone."""

from importlib import import_module
from pkgutil import iter_modules

from families.sample import Sample

FAMILIES: dict[tuple[str, str], Sample] = {
    key: sample
    for module in sorted(m.name for m in iter_modules(__path__))
    for key, sample in getattr(import_module(f"families.{module}"), "SAMPLES", {}).items()
}
"""Recipe and spelling, with a checkpoint in that spelling."""
