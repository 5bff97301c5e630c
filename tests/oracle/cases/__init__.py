"""One case per spelling of every recipe: nets that define the family, in train and deploy form."""

from importlib import import_module
from pkgutil import iter_modules

from oracle.cases.case import Case

CASES: list[Case] = [
    case
    for module in sorted(m.name for m in iter_modules(__path__))
    for case in getattr(import_module(f"oracle.cases.{module}"), "CASES", [])
]
