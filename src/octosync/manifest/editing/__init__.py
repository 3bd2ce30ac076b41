"""Editing: another value in a manifest's text, and nothing else of it touched."""

from octosync.manifest.editing.edits import Edit, Place, edited
from octosync.manifest.editing.layout import Reading
from octosync.manifest.editing.patch import patch_of
from octosync.manifest.editing.put import Path, put
from octosync.manifest.editing.unplaceable import Unplaceable

__all__ = ["Edit", "Path", "Place", "Reading", "Unplaceable", "edited", "patch_of", "put"]
