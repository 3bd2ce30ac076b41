"""The table of what a plan says beyond its changes: every id that a diagnostic of this room can have.

The reference is made from this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.model import Address, Diagnostic, Origin, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a plan can say: its id, how grave it is, and what it means."""

    id: str
    severity: Severity
    meaning: str


def _table(*findings: Finding) -> Mapping[str, Finding]:
    return MappingProxyType({one.id: one for one in findings})


_WARNING, _NOTICE = Severity.WARNING, Severity.NOTICE

FINDINGS: Final = _table(
    Finding(
        "archive-strands-identifiers",
        _WARNING,
        "An app is archived with targets: their identifiers stay taken permanently. The rule of the same name"
        " checks the manifest alone.",
    ),
    Finding(
        "target-held-elsewhere",
        _WARNING,
        "A target belongs to another live app, or belonged to it when a manifest last declared it: the "
        "control plane will reject its registration.",
    ),
    Finding(
        "move-waits",
        _WARNING,
        "A part of a move, or the archive of one of its apps, is skipped: the other app is suspended.",
    ),
    Finding(
        "undeclared-public-client",
        _WARNING,
        "A slot allows public clients, and the manifest doesn't declare it.",
    ),
    Finding(
        "rolled-back",
        _WARNING,
        "The deployment of a declared capability was rolled back: it is enabled again only with `--retry-rolled-back`.",
    ),
    Finding(
        "enable-differs-from-pin",
        _WARNING,
        "The manifest pins a variant, and the orchestrator would choose another one when the capability is enabled.",
    ),
    Finding(
        "preview-failed",
        _WARNING,
        "The preview of enabling a capability failed. The capability can still be enabled.",
    ),
    Finding(
        "optimizes-later",
        _NOTICE,
        "With `optimize: auto`, a better variant is known only after the capability is deployed and the "
        "targets are as declared: the next apply may start a canary, so its plan may not be empty.",
    ),
    Finding("check-failed", _WARNING, "The check for a better variant failed."),
    Finding(
        "allows-nothing",
        _WARNING,
        "The `Octosync-Allow` line of a commit names no guard that a commit can override, or lacks its number.",
    ),
    Finding(
        "offline",
        _NOTICE,
        "The plan was made with --offline: it uses the base as live state, and doesn't know the actual live state.",
    ),
    Finding(
        "drift-not-held",
        _NOTICE,
        "The activity feed can't be read, so the age of a change on the control plane is unknown: it is "
        "reverted at once.",
    ),
    Finding(
        "renamed-app",
        _NOTICE,
        "An app is pruned, and a new app has all its targets: model references to the old app become invalid.",
    ),
    Finding(
        "target-without-assignment",
        _NOTICE,
        "A target is added to an app with deployments: no API assigns existing deployments to its devices, "
        "only enabling does.",
    ),
    Finding(
        "deployment-keeps-its-variant",
        _NOTICE,
        "A slot pins another variant than the deployed one: no API changes the variant of an existing deployment.",
    ),
    Finding(
        "deployment-goes-on",
        _NOTICE,
        "The capability of a deleted slot is deployed: no API undeploys it, so the deployment continues.",
    ),
)


def finding(id_: str, about: Address, words: str, *, origin: Origin | None, notes: Iterable[str] = ()) -> Diagnostic:
    """Say one of the table's findings about an object. `notes` say what to do next."""
    return Diagnostic(
        severity=FINDINGS[id_].severity, rule=id_, summary=f"{about}: {words}", origin=origin, notes=tuple(notes)
    )
