"""Who starts a run and where, as the journal records it: read from the environment and the system."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from octosync.cli.run_options import ManifestFlags, RemoteFlags, RunRequest
from octosync.model import RecordedOverride, Redactor, RunAudit, Secret, clipped
from octosync.plan import GitRevision, Override

# The person or bot that a CI system names, of GitHub Actions and GitLab CI.
_CI_ACTORS: Final = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_LONGEST: Final = 100  # characters of a name


def audit_of(
    command: str,
    *,
    actor: str | None = None,
    context: str | None = None,
    git: GitRevision | None = None,
    overrides: Iterable[Override] = (),
    flags: Iterable[str] = (),
    keys: Iterable[Secret] = (),
    environment: Mapping[str, str] = os.environ,
) -> RunAudit:
    """Return what is known of a run before its first write, without `keys`. `actor` is one that is no person."""
    redactor = Redactor(keys)

    def text(value: str) -> str:
        shown = str(redactor.masked(value.encode(errors="replace").decode()))
        return clipped(shown, _LONGEST)

    return RunAudit(
        command=command,
        actor=actor or text(actor_of(environment)),
        host=text(socket.gethostname()),
        context=None if context is None else text(context),
        revision=None if git is None else git.revision,
        dirty=None if git is None else git.dirty,
        base=None if git is None else git.base,
        overrides=recorded(overrides),
        flags=tuple(map(text, flags)),
    )


def recorded(overrides: Iterable[Override]) -> tuple[RecordedOverride, ...]:
    """Return overrides as the journal records them."""
    return tuple(RecordedOverride(override.guard, override.value, override.source) for override in overrides)


def loosening_flags(request: RunRequest) -> tuple[str, ...]:
    """Return the flags of plan and apply that loosen something beside the guards."""
    base = request.base
    return (
        *input_flags(request.manifests, request.remote),
        *((f"--drift-hold {base.drift_hold}",) if base.drift_hold is not None else ()),
        *(("--prune",) if base.prune else ()),
        *(("--retry-rolled-back",) if request.retry_rolled_back else ()),
    )


def input_flags(manifests: ManifestFlags, remote: RemoteFlags) -> tuple[str, ...]:
    """Return the flags about manifests and the control plane that loosen something."""
    switches = (
        ("--allow-empty", manifests.allow_empty),
        ("--allow-remote-bases", manifests.allow_remote_bases),
        ("--insecure", remote.insecure),
    )
    return (*(name for name, given in switches if given), *(f"--env {name}" for name in manifests.env_allowed))


def actor_of(environment: Mapping[str, str]) -> str:
    """Return who starts a run: the account that a CI system names, else the user of this machine."""
    named = (environment.get(name, "").strip() for name in _CI_ACTORS)
    return next(filter(None, named), None) or _user()


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a user without a name
        return f"uid {uid}"
