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
        "An app is archived with targets: they stay taken for good. Known better than from the manifest alone, which has the "
        "same rule.",
    ),
    Finding(
        "target-held-elsewhere",
        _WARNING,
        "A target is to be registered that another live app holds, or had when a manifest last declared it: the registration "
        "will be refused.",
    ),
    Finding(
        "move-waits",
        _WARNING,
        "Half a move, or the archive of an app at one of its ends, is left out: the app at the other end is suspended.",
    ),
    Finding(
        "undeclared-public-client",
        _WARNING,
        "Public clients are allowed at a slot, and the manifest says nothing about it.",
    ),
    Finding(
        "rolled-back",
        _WARNING,
        "A capability that is to be deployed was, and was rolled back: it is enabled again only with `--retry-rolled-back`.",
    ),
    Finding(
        "enable-differs-from-pin",
        _WARNING,
        "The manifest pins a variant, and the orchestrator would choose another one when the capability is enabled.",
    ),
    Finding(
        "preview-failed",
        _WARNING,
        "The orchestrator did not say what enabling would do. It can be enabled all the same.",
    ),
    Finding(
        "optimizes-later",
        _NOTICE,
        "With `optimize: auto`, what is better is known only once the capability is deployed and the targets are as declared: "
        "the next apply may start a canary, and its plan is not empty then.",
    ),
    Finding("check-failed", _WARNING, "The orchestrator did not say whether there is a better variant."),
    Finding(
        "allows-nothing",
        _WARNING,
        "A commit's `Octosync-Allow` line names no guard that a commit may lift, or lacks its number.",
    ),
    Finding(
        "offline", _NOTICE, "A plan was made with --offline: it takes the base for live, and says nothing of what is."
    ),
    Finding(
        "drift-not-held",
        _NOTICE,
        "The activity feed can't be read, so it is not known how young a change on the control plane is: it is changed back "
        "at once.",
    ),
    Finding(
        "renamed-app",
        _NOTICE,
        "An app that is pruned, and a new one has all its targets: model references to the old one end with it.",
    ),
    Finding(
        "target-without-assignment",
        _NOTICE,
        "A target is added to an app with deployments: no API assigns these to it, only enabling assigns devices.",
    ),
    Finding(
        "deployment-keeps-its-variant",
        _NOTICE,
        "A slot is pinned to another variant than what is deployed of it: no API deploys the pin to what runs already.",
    ),
    Finding(
        "deployment-goes-on",
        _NOTICE,
        "A slot is deleted whose capability is deployed: there is no API to undeploy, so the deployment goes on.",
    ),
)


def finding(id_: str, about: Address, words: str, *, origin: Origin | None, notes: Iterable[str] = ()) -> Diagnostic:
    """Say one of the table's findings about an object. `notes` say what to do next."""
    return Diagnostic(
        severity=FINDINGS[id_].severity, rule=id_, summary=f"{about}: {words}", origin=origin, notes=tuple(notes)
    )
