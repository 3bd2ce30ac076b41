"""Assemble desired state from documents, with the checks that concern several documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from operator import is_
from typing import Final, TypeAlias

from octosync.contract import Contract
from octosync.manifest.load.digest import Memo
from octosync.manifest.load.documents import Resource
from octosync.manifest.load.limits import check_deadline
from octosync.manifest.load.resources import app_fields, inference_config_of, slot_of, target_of
from octosync.manifest.schema.checked_object import CheckedObject
from octosync.manifest.yaml.nodes import Node
from octosync.model import App, InferenceConfig, Origin, Section, Slot, State, Suspension, Target

# The first target that declares a (platform, identifier); filled as states are assembled.
Claims: TypeAlias = dict[tuple[str, str], Target]


# By the identity of an app's first document: its documents, and the app. Only apps without findings are kept.
Assembled: TypeAlias = Memo[int, tuple[tuple[CheckedObject, ...], App]]


def assemble(
    resources: Iterable[Resource], contract: Contract, claims: Claims, known: Assembled | None = None
) -> State:
    """Return the state that documents declare, in any order, and report their contradictions.

    A document whose app could not be read is checked alone and declares nothing, but its targets count as claimed. `known`
    apps with identical documents, under the same contract, are not assembled again.
    """
    by_app: dict[str, list[Resource]] = {}
    apart: list[Resource] = []
    for resource in sorted(resources, key=_position):
        if resource.app is None:
            apart.append(resource)
        else:
            by_app.setdefault(resource.app, []).append(resource)
    state = State.from_apps(*(_app(slug, by_app[slug], contract, claims, known) for slug in sorted(by_app)))
    for resource in apart:
        _Assembly("", [resource], contract, claims).app()
    return state


def _position(resource: Resource) -> tuple[str, int, int, str]:
    origin = resource.origin
    return (origin.file, origin.line, origin.column, origin.base)


def _app(slug: str, resources: list[Resource], contract: Contract, claims: Claims, known: Assembled | None) -> App:
    check_deadline()
    if known is None:
        return _Assembly(slug, resources, contract, claims).app()
    documents = tuple(resource.root for resource in resources)
    found = known.find(id(documents[0]))
    if (
        found is not None
        and _are_identical(found[0], documents)
        and not any(target.unique_key in claims for target in found[1].targets)
    ):
        claims.update({target.unique_key: target for target in found[1].targets})
        known.keep(id(documents[0]), found)
        return found[1]
    findings = resources[0].reporter.findings
    before = findings.count
    app = _Assembly(slug, resources, contract, claims).app()
    if findings.count == before:
        known.keep(id(documents[0]), (documents, app))
    return app


def _are_identical(those: tuple[CheckedObject, ...], these: tuple[CheckedObject, ...]) -> bool:
    return len(those) == len(these) and all(map(is_, those, these))


@dataclass(slots=True)
class _Assembly:
    """One app, from all of its documents. The slug is "" if it could not be read."""

    _slug: str
    _resources: list[Resource]
    _contract: Contract
    _claims: Claims
    _targets: dict[tuple[str, str], Target] = field(default_factory=dict)
    _slots: dict[str, Slot] = field(default_factory=dict)
    _config: InferenceConfig | None = None

    def app(self) -> App:
        """Return the app, assembled from its own document and then from its children's in the order of their positions."""
        own = self._own_document()
        archived = bool(own and own.spec and own.spec.flag("archived"))
        ordered = [own] if own else []
        ordered += [resource for resource in self._resources if resource.kind != "App"]
        for resource in ordered:
            if resource.spec is not None:
                self._declare(resource, resource.spec, archived=archived)
        if own is not None and archived:
            self._check_archive(own)
        suspensions = [resource.suspension for resource in self._resources if resource.suspension is not None]
        labels: dict[str, str] = dict(own.labels) if own else {}
        if own is None:
            for resource in reversed(self._resources):
                labels |= resource.labels
        return App(
            slug=self._slug,
            fields=app_fields(own) if own else {},
            archived=archived,
            declared=own is not None,
            complete_sections=_whole(own),
            targets=tuple([target for _, target in sorted(self._targets.items())]),
            slots=tuple([slot for _, slot in sorted(self._slots.items())]),
            inference_config=self._config,
            labels=dict(sorted(labels.items())),
            protected=any(resource.protected for resource in self._resources),
            suspension=_longest(suspensions) if suspensions else None,
            origin=(own or self._resources[0]).origin,
            section_origins=_lists(own),
        )

    def _own_document(self) -> Resource | None:
        own = [resource for resource in self._resources if resource.kind == "App"]
        for again in own[1:]:
            metadata = again.root.record("metadata")
            at = metadata.value_node("name") if metadata else again.root.node
            summary = f"app {again.reporter.quote(self._slug, at)} is declared twice"
            again.reporter.report(
                "duplicate-app", at, summary, path="metadata.name", notes=(f"the other: {own[0].origin}",)
            )
            # It is checked alone: it may be a copy, and then everything in it would be declared twice.
            _Assembly(self._slug, [again], self._contract, {}).app()
        return own[0] if own else None

    def _declare(self, resource: Resource, spec: CheckedObject, *, archived: bool) -> None:
        match resource.kind:
            case "App":
                for record in spec.records("targets"):
                    self._add_target(record, resource)
                for record in spec.records("slots"):
                    self._add_slot(record, resource, archived=archived)
                if "inferenceConfig" in spec:
                    self._add_config(spec, "inferenceConfig", resource)
            case "AppTarget":
                self._add_target(spec, resource)
            case "CapabilitySlot":
                self._add_slot(spec, resource, archived=archived)
            case _:
                self._add_config(spec, "config", resource)

    def _add_target(self, record: CheckedObject, resource: Resource) -> None:
        target = target_of(record, resource, self._contract)
        if target is None:
            return
        key = target.unique_key
        held, other = self._claims.setdefault(key, target), self._targets.setdefault(key, target)
        if held is target and other is target:
            return
        at, path = record.value_node("identifier"), record.path_to("identifier")
        name = resource.reporter.quote(f"{target.platform}:{target.identifier}", at)
        if other is not target:
            self._twice(resource, at, path, f"target {name} is declared twice", other.origin)
        elif not (held.app and target.app):
            # The app is unknown, but two documents declare the same target.
            self._twice(resource, at, path, f"target {name} is declared twice", held.origin)
        elif held.app != target.app:
            resource.reporter.report(
                "target-claimed-twice",
                at,
                f"{name} is claimed by two apps, {held.app} and {target.app}, but an org can register it only once",
                path=path,
                notes=(f"the other: {held.origin}",),
            )

    def _add_slot(self, record: CheckedObject, resource: Resource, *, archived: bool) -> None:
        slot = slot_of(record, resource, self._contract)
        if slot is None:
            return
        if archived and slot.deploy is not None:
            summary = f"app {self._slug}".rstrip() + " is archived, and nothing is deployed for it"
            at, path = record.key_node("deploy"), record.path_to("deploy")
            resource.reporter.report("deploy-on-archived", at, summary, path=path)
        if (other := self._slots.get(slot.capability)) is not None:
            twice, path = record.value_node("capability"), record.path_to("capability")
            name = resource.reporter.quote(slot.capability, twice)
            summary = f"slot {name} is declared twice, and an app has one slot per capability"
            resource.reporter.report("duplicate-slot", twice, summary, path=path, notes=(f"the other: {other.origin}",))
            return
        self._slots[slot.capability] = slot

    def _add_config(self, record: CheckedObject, key: str, resource: Resource) -> None:
        config = inference_config_of(record, key, resource)
        if config is None:
            return
        if self._config is not None:
            summary = f"the inference config of app {self._slug} is declared twice"
            self._twice(resource, record.key_node(key), record.path_to(key), summary, self._config.origin)
            return
        self._config = config

    def _twice(self, resource: Resource, at: Node, path: str, summary: str, other: Origin | None) -> None:
        resource.reporter.report("declared-twice", at, summary, path=path, notes=(f"the other: {other}",))

    def _check_archive(self, own: Resource) -> None:
        spec = own.spec
        if spec is None or ("targets" in spec.values and not spec.records("targets") and not self._targets):
            return
        own.reporter.report(
            "archive-strands-identifiers",
            spec.key_node("archived"),
            "an archived app keeps its identifiers: no other app can register them again",
            path=spec.path_to("archived"),
            notes=("`targets: []` frees them before the archive",),
        )


_LISTS: Final = {"targets": Section.TARGETS, "slots": Section.SLOTS}
_SECTIONS: Final = {**_LISTS, "inferenceConfig": Section.INFERENCE_CONFIG}


def _whole(own: Resource | None) -> frozenset[Section]:
    spec = own.spec if own is not None else None
    return frozenset() if spec is None else _sections(tuple([key for key in _SECTIONS if key in spec]))


@cache
def _sections(keys: tuple[str, ...]) -> frozenset[Section]:
    return frozenset(_SECTIONS[key] for key in keys)


def _lists(own: Resource | None) -> dict[Section, Origin]:
    if own is None or own.spec is None:
        return {}
    return {section: own.origin_of(own.spec, key) for key, section in _LISTS.items() if key in own.spec}


def _longest(suspensions: Collection[Suspension]) -> Suspension:
    """Return the longest suspension of an app: one without an end, else the one that ends last."""
    ends = [suspension.until for suspension in suspensions if suspension.until is not None]
    return Suspension(max(ends)) if len(ends) == len(suspensions) else Suspension()
