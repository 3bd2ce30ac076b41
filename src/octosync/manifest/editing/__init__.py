"""Editing: another value in a manifest's text, and nothing else of it touched."""

from octosync.manifest.edit.editor import Path, put
from octosync.manifest.edit.layout import Reading
from octosync.manifest.editing.changes import Change, accepted_bindings, with_fields, with_item, without_item
from octosync.manifest.editing.edits import Edit, Place, edited
from octosync.manifest.editing.patch import patch_of
from octosync.manifest.editing.unplaceable import Unplaceable

__all__ = [
    "Change",
    "Edit",
    "Path",
    "Place",
    "Reading",
    "Unplaceable",
    "accepted_bindings",
    "edited",
    "patch_of",
    "put",
    "with_fields",
    "with_item",
    "without_item",
]
