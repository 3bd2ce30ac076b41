"""The other way than apply's: how to keep what is live where it differs from the manifests."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from octosync.model import ELLIPSIS, Reason
from octosync.plan import (
    Action,
    DeleteInferenceConfig,
    DeleteSlot,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    RunInfo,
    UpdateApp,
)
from octosync.report.text import visible

_ADDRESSES: Final = 3  # in the command line, before the rest is an ellipsis
_STDIN: Final = "-"
_CHANGED_BACK: Final = frozenset({Reason.DIFFERS, Reason.DRIFT, Reason.DIVERGED})
_ACCEPTED = (
    UpdateApp,
    RegisterTarget,
    RemoveTarget,
    PutSlot,
    DeleteSlot,
    PutInferenceConfig,
    DeleteInferenceConfig,
)


def keep_command(actions: Sequence[Action], about: RunInfo) -> str | None:
    """Return the command line that accepts what a plan would change back; None where nothing is, or no file says it."""
    invocation = about.invocation
    found = [one.address for one in actions if isinstance(one, _ACCEPTED) and one.reason in _CHANGED_BACK]
    if not found or _STDIN in invocation.paths or invocation.kustomize is not None:
        return None
    accepted = set(found)
    if invocation.base is None and any(one.reason is not Reason.DIFFERS for one in actions if one.address in accepted):
        return None  # the base is a file, which accept doesn't take
    named = shlex.join(map(str, found[:_ADDRESSES]))
    more = [ELLIPSIS] if len(found) > _ADDRESSES else []
    paths = [part for path in invocation.paths for part in ("-f", path)]
    paths += ["--base", invocation.base] if invocation.base is not None else []
    rest = [shlex.join((*paths, *about.typed_to_look))] if paths or about.typed_to_look else []
    return visible(" ".join(("octosync accept", named, *more, *rest)))
