"""Manifests and octosync.yaml: load desired state from files and report all problems at once; export and edit manifests.

Reading is strict and keeps positions (`yaml`), validation uses one set of models and one table of rules (`schema`), and the
results are values of `octosync.model`. Nothing here sends requests, plans or prints. The environment and the current time are
arguments.
"""

from octosync.manifest.config.config import (
    Configuration,
    ConfigurationResult,
    Context,
    GuardLimits,
    Rate,
    configuration_places,
    find_configuration,
    parse_duration,
)
from octosync.manifest.config.reader import read_configuration
from octosync.manifest.config.schema import is_receiver_url
from octosync.manifest.edit.accept import accept, accept_archive
from octosync.manifest.edit.accept_slot import AcceptedObject, refusal
from octosync.manifest.edit.editor import apply_edits, patch_of
from octosync.manifest.edit.layout import EditContext, EditError
from octosync.manifest.export.export import ExportedApp, claims_of, export_app, sections_undeclared
from octosync.manifest.export.starter import LOCAL, starter_app, starter_configuration, starter_manifest
from octosync.manifest.export.yaml_writer import manifest_text
from octosync.manifest.load.digest import digest, keyed_digest
from octosync.manifest.load.files import LEFT_OUT_OF_FOLDERS, STDIN, SUFFIXES
from octosync.manifest.load.load import Cache, LoadOptions, Manifests, load, variables_for
from octosync.manifest.load.owners import Owner
from octosync.manifest.load.selection import select
from octosync.manifest.schema.explain import UnknownPathError, explain_path, explained_roots
from octosync.manifest.schema.json_schema import (
    configuration_schema,
    field_example,
    kustomize_definitions,
    manifest_schema,
)
from octosync.manifest.schema.models import SLUG
from octosync.manifest.schema.rules import RULES, Rule
from octosync.manifest.schema.validate import closest

__all__ = [
    "LEFT_OUT_OF_FOLDERS",
    "LOCAL",
    "RULES",
    "SLUG",
    "STDIN",
    "SUFFIXES",
    "AcceptedObject",
    "Cache",
    "Configuration",
    "ConfigurationResult",
    "Context",
    "EditContext",
    "EditError",
    "ExportedApp",
    "GuardLimits",
    "LoadOptions",
    "Manifests",
    "Owner",
    "Rate",
    "Rule",
    "UnknownPathError",
    "accept",
    "accept_archive",
    "apply_edits",
    "claims_of",
    "closest",
    "configuration_places",
    "configuration_schema",
    "digest",
    "explain_path",
    "explained_roots",
    "export_app",
    "field_example",
    "find_configuration",
    "is_receiver_url",
    "keyed_digest",
    "kustomize_definitions",
    "load",
    "manifest_schema",
    "manifest_text",
    "parse_duration",
    "patch_of",
    "read_configuration",
    "refusal",
    "sections_undeclared",
    "select",
    "starter_app",
    "starter_configuration",
    "starter_manifest",
    "variables_for",
]
