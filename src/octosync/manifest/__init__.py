"""Manifests: from files to desired state, strictly, with every problem in one go; and octosync.yaml.

Reading is strict and positioned (`positioned`), checking goes by one schema (`schema`, `walk`) and one table of rules
(`rules`), and what comes out are values of `model`. Nothing here sends, plans, prints or reads the process's environment;
the environment's variables and the time are arguments.
"""

from octosync.manifest.configuration import (
    Configuration,
    Configured,
    Context,
    FreezeWindow,
    GuardLimits,
    Rate,
    find_configuration,
)
from octosync.manifest.configuration_reading import read_configuration
from octosync.manifest.durations import parse_duration
from octosync.manifest.loading import Manifests, load
from octosync.manifest.owners import Owner
from octosync.manifest.rules import RULES, Rule
from octosync.manifest.selection import select
from octosync.manifest.sources import STDIN
from octosync.manifest.starter import starter_manifest

__all__ = [
    "RULES",
    "STDIN",
    "Configuration",
    "Configured",
    "Context",
    "FreezeWindow",
    "GuardLimits",
    "Manifests",
    "Owner",
    "Rate",
    "Rule",
    "find_configuration",
    "load",
    "parse_duration",
    "read_configuration",
    "select",
    "starter_manifest",
]
