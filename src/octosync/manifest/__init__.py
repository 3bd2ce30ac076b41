"""Manifests and octosync.yaml: load desired state from files and report all problems at once; export and edit manifests.

Reading is strict and keeps positions (`yaml`), validation uses one set of models and one table of rules (`schema`), and the
results are values of `octosync.model`. Nothing here sends requests, plans or prints. The environment and the current time are
arguments.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
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
    from octosync.manifest.load.load import Cache, LoadOptions, Manifests, load_manifests, variables_for
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
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "config.config": "Configuration ConfigurationResult Context GuardLimits Rate configuration_places find_configuration "
            "parse_duration",
            "config.reader": "read_configuration",
            "config.schema": "is_receiver_url",
            "edit.accept": "accept accept_archive",
            "edit.accept_slot": "AcceptedObject refusal",
            "edit.editor": "apply_edits patch_of",
            "edit.layout": "EditContext EditError",
            "export.export": "ExportedApp claims_of export_app sections_undeclared",
            "export.starter": "LOCAL starter_app starter_configuration starter_manifest",
            "export.yaml_writer": "manifest_text",
            "load.digest": "digest keyed_digest",
            "load.files": "LEFT_OUT_OF_FOLDERS STDIN SUFFIXES",
            "load.load": "Cache LoadOptions Manifests load_manifests variables_for",
            "load.owners": "Owner",
            "load.selection": "select",
            "schema.explain": "UnknownPathError explain_path explained_roots",
            "schema.json_schema": "configuration_schema field_example kustomize_definitions manifest_schema",
            "schema.models": "SLUG",
            "schema.rules": "RULES Rule",
        },
    )
