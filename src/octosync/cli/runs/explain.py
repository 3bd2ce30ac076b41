"""`octosync explain`: explain a field, rule, finding, guard or outcome."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from octosync.apply import OUTCOMES
from octosync.cli.console import out_json, out_text, wants_colour
from octosync.cli.error_references import ERRORS
from octosync.contract import OPERATIONS
from octosync.errors import EXIT_CODES, UsageError
from octosync.manifest import RULES, UnknownPathError, explain_path, explained_roots
from octosync.model import POLICY, FieldExplanation, NameExplanation, Reason, closest
from octosync.plan import FINDINGS, GUARDS
from octosync.plan.policies import VARIABLES
from octosync.report import (
    explained_document,
    render_explained_field,
    render_explained_group,
    render_explained_names,
    render_explained_roots,
    render_explained_variables,
)
from octosync.watch.notify.notices import EVENTS


@dataclass(frozen=True, slots=True)
class _RenamedError:
    """An error whose reference has changed. `explain` knows the former one for one release."""

    reference: str
    former: str
    meaning: str
    ways_out: tuple[str, ...]


_RENAMED_ERRORS: Final = (
    _RenamedError(
        "confirmation-required",
        "nobody-to-ask",
        "`octosync apply` needs confirmation, but there is no terminal, or CI is set.",
        ("--yes", "apply a reviewed plan file"),
    ),
    _RenamedError(
        "input-required",
        "nobody-to-ask",
        "`octosync init` prompts for an app and contexts, but there is no terminal, or CI is set.",
        ("--yes, with --app and --contexts for other values than the defaults",),
    ),
    _RenamedError(
        "no-key-destination",
        "keys-nowhere",
        "`octosync bootstrap` would print the keys to a closed standard output or to /dev/null.",
        ("--key-file FILE",),
    ),
    _RenamedError(
        "unknown-topic",
        "nothing-to-explain",
        "`octosync explain` knows no field, name or heading like its argument.",
        ("`octosync explain` without an argument lists the available topics",),
    ),
    _RenamedError(
        "duplicate-stdin",
        "stdin-twice",
        "`-f -` is given twice, but there is only one standard input.",
        ("concatenate the documents, with `---` between them",),
    ),
    _RenamedError(
        "load-timeout",
        "load-given-up",
        "`octosync watch` stopped a load of the manifests that took too long. The previous manifests stay in use.",
        ("--load-timeout", "check what kustomize downloads or generates"),
    ),
    _RenamedError(
        "manifests-changing",
        "manifests-in-motion",
        "The manifests changed during each attempt of `octosync watch` to read them.",
        ("switch to a new revision in one step, such as a symbolic link to a clone",),
    ),
    _RenamedError(
        "posts-disabled",
        "posts-off",
        "The controller has no admin token, so it rejects all HTTP POST requests.",
        ("start `octosync watch` with OCTOSYNC_ADMIN_TOKEN set",),
    ),
    _RenamedError(
        "plan-outdated",
        "plan-moved",
        "The plan has changed since the plan file was approved. Nothing was sent.",
        ("plan again and have the new plan reviewed",),
    ),
    _RenamedError(
        "base-not-found",
        "base-gone",
        "The revision that was last applied is not in this clone, for example after a force push.",
        ("start the run again with a base: the revision that is closest to the live state",),
    ),
    _RenamedError(
        "edit-failed",
        "not-placeable",
        "`octosync accept` can't write a live value into its manifest. The message shows the lines to write.",
        ("edit the manifest yourself",),
    ),
    _RenamedError(
        "edit-mismatch",
        "not-provable",
        "The manifests that `octosync accept` would write would not match the live state. No file was changed.",
        ("edit the manifests yourself, and check with `octosync plan`",),
    ),
    _RenamedError(
        "conflicting-flags",
        "flags-apart",
        "An option of `octosync status` can't be used with --declared, or needs it.",
        ("`octosync status --help`",),
    ),
    _RenamedError(
        "nothing-to-show",
        "nothing-asked",
        "`--limit 0` shows nothing without --follow.",
        ("--follow, to show only new entries",),
    ),
    _RenamedError(
        "invalid-rate",
        "bad-pace",
        "A connection needs at least 0 requests per minute, 1 request at a time and 1 attempt.",
        ("--rate", "`rate` in octosync.yaml"),
    ),
)
RENAMED: Final = frozenset(error.reference for error in _RENAMED_ERRORS)
# Rules and outcomes whose names have changed, by their new names. `explain` knows the former ones for one release.
_FORMER_NAMES: Final = {"app-not-owned": "not-your-app", "object-changed": "object-moved"}
_RULES: Final = {
    rule.id: NameExplanation(
        name=rule.id,
        category="rule",
        meaning=rule.meaning,
        severity=rule.severity.value,
        situation=rule.situation,
        example=rule.example,
        configuration=rule.configuration,
    )
    for rule in RULES.values()
}
_FINDINGS: Final = {
    finding.id: NameExplanation(
        name=finding.id, category="finding", meaning=finding.meaning, severity=finding.severity.value
    )
    for finding in FINDINGS.values()
}
_GUARDS: Final = {
    guard.id: NameExplanation(name=guard.id, category="guard", meaning=guard.refuses, ways_out=guard.ways_out)
    for guard in GUARDS.values()
}
_OUTCOMES: Final = {
    outcome.reference: NameExplanation(
        name=outcome.reference, category="outcome", meaning=outcome.meaning, ways_out=outcome.ways_out
    )
    for outcome in OUTCOMES.values()
}
_ERRORS: Final = {
    reference: NameExplanation(name=reference, category="error", meaning=meaning)
    for reference, meaning in ERRORS.items()
} | {
    renamed.reference: NameExplanation(
        name=renamed.reference,
        category="error",
        meaning=f"{renamed.meaning} Its former reference is `{renamed.former}`.",
        ways_out=renamed.ways_out,
    )
    for renamed in _RENAMED_ERRORS
}
_REASON_MEANINGS: Final = {
    Reason.NEW: "The object is declared and does not exist yet.",
    Reason.MANIFEST_CHANGED: "The manifest declares another value than the base or the last apply.",
    Reason.DRIFT: "The live object was changed on the control plane; the manifest was not.",
    Reason.DIVERGED: "Both were changed, the live object and the manifest, and to different values.",
    Reason.DIFFERS: "The live object differs from its manifest. Without a base, it is not known which of them was changed.",
    Reason.REMOVED: "The manifests don't declare the object any longer.",
    Reason.MOVED: "The platform and identifier of a target are declared in another app now.",
    Reason.NOT_DEPLOYED: "The capability is declared for an environment in which it is not enabled.",
    Reason.BETTER_VARIANT: "Octomil has a better variant of the model.",
}
_REASONS: Final = {
    reason.value: NameExplanation(name=reason.value, category="reason", meaning=meaning)
    for reason, meaning in _REASON_MEANINGS.items()
}
_OPERATIONS: Final = {
    operation.id: NameExplanation(
        name=operation.id,
        category="operation",
        meaning=f"{operation.method} {operation.path}: {operation.summary}",
        ways_out=(f"to correct the path: api.operations.{operation.id} in octosync.yaml",),
    )
    for operation in OPERATIONS.values()
}
_EXIT_CODES: Final = {
    str(code.value): NameExplanation(
        name=str(code.value), category="exit code", meaning=f"{meaning[:1].upper()}{meaning[1:]}."
    )
    for code, meaning in EXIT_CODES.items()
}
_NOTIFICATIONS: Final = {
    event.value: NameExplanation(name=event.value, category="notification", meaning=meaning)
    for event, meaning in EVENTS.items()
}
# The names that octosync prints, by the headings of the list of topics.
GROUPS: Final[Mapping[str, Mapping[str, NameExplanation]]] = {
    "Rules": _RULES,
    "Findings": _FINDINGS,
    "Guards": _GUARDS,
    "Outcomes": _OUTCOMES,
    "Reasons": _REASONS,
    "Notifications": _NOTIFICATIONS,
    "Exit codes": _EXIT_CODES,
    "Operations": _OPERATIONS,
    "Errors": _ERRORS,
}
# Groups with many names: the list of topics has only their headings.
_LONG: Final = frozenset({"Operations", "Errors"})


# The types of variables, in words.
_TYPES: Final = {
    "string": "a string",
    "bool": "true or false",
    "int": "a whole number",
    "timestamp": "a time",
    "map": "an object",
    "labels": "an object with strings as values",
    "list": "a list of objects",
}
_RULE: Final = """\
policies:
  - name: archive-needs-label
    rule: change.action != "archive" || "retired" in app.labels
    message: Only apps with the label `retired` can be archived.
"""
_POLICIES: Final = FieldExplanation(
    path="policies",
    about="The variables of the rules in `policies` of octosync.yaml. A rule is an expression in CEL (https://cel.dev) that must "
    "be true. Objects have the API's field names, as in `octosync plan -o json`; sensitive values are masked. A rule that reads "
    "a field that does not exist fails, and what it judges is refused: check with `has(change.after.preferred_engines)` first. "
    "`change` and `run` exist only in policies that judge changes. `octosync explain config.policies` describes the settings.",
    type="an object",
    example=_RULE,
    fields=tuple(
        FieldExplanation(
            path=f"policies.{variable.name}",
            about=variable.about,
            type=_TYPES[variable.type],
            example=variable.example,
        )
        for variable in VARIABLES
    ),
)


def _variables(path: str) -> FieldExplanation | None:
    """Return the explanation of the variables of rules, or of one of them; None for another path."""
    name = path.strip().lower()
    found = (_POLICIES, *_POLICIES.fields)
    return next((variable for variable in found if variable.path == name), None)


def run(path: str | None, output: str, colour: str) -> None:
    """Run `octosync explain`."""
    paint = wants_colour(sys.stdout, colour)
    group = _group(path) if path else {}
    explained: Sequence[FieldExplanation | NameExplanation]
    explained = _roots() if path is None else tuple(group.values()) or _explanations(path)
    if output == "json":
        out_json(explained_document(explained))
    elif path is None:
        out_text(
            render_explained_roots(
                _roots(), {title: _listed(title, group) for title, group in GROUPS.items()}, colour=paint
            )
        )
    elif explained == (_POLICIES,):
        out_text(render_explained_variables(_POLICIES, colour=paint))
    elif group:
        out_text(render_explained_group(tuple(group.values()), colour=paint))
    else:
        for explanation in explained:
            if isinstance(explanation, FieldExplanation):
                out_text(render_explained_field(explanation, colour=paint))
        names = [explanation for explanation in explained if isinstance(explanation, NameExplanation)]
        out_text(render_explained_names(names, colour=paint))


def _roots() -> tuple[FieldExplanation, ...]:
    return (*explained_roots(), replace(_POLICIES, about="the variables of the rules of policies", fields=()))


def completions(incomplete: str) -> list[str]:
    """Return the completions of the argument: names, and paths one field at a time."""
    parent = incomplete.rpartition(".")[0]
    try:
        is_variable = parent.partition(".")[0] == _POLICIES.path
        fields = _POLICIES.fields if is_variable else explain_path(parent).fields if parent else _roots()
        paths = [field.path for field in fields]
    except UnknownPathError:
        paths = []
    names = [] if parent else _names()
    return [topic for topic in (*paths, *names) if topic.startswith(incomplete)]


def _listed(title: str, group: Mapping[str, NameExplanation]) -> list[str]:
    """Return the names of a group in the list of topics."""
    return [f"`octosync explain {_typed(title)}` lists all {len(group)}"] if title in _LONG else list(group)


def _typed(title: str) -> str:
    """Return the heading of a group as it is typed."""
    return title.lower().replace(" ", "-")


def _names() -> list[str]:
    """Return the headings of the groups, as they are typed, and all names in them."""
    return list(dict.fromkeys((*map(_typed, GROUPS), *(name for group in GROUPS.values() for name in group))))


def _group(path: str) -> Mapping[str, NameExplanation]:
    """Return the group of names that a heading of the list of topics names, in the plural or singular, or {}."""
    heading = path.strip().replace("-", " ").capitalize()
    return GROUPS.get(heading) or GROUPS.get(f"{heading}s") or {}


def _explanations(path: str) -> Sequence[FieldExplanation | NameExplanation]:
    """Return all explanations of a path or name. Raise `UsageError` if there is none."""
    if (variables := _variables(path)) is not None:
        return (variables,)
    names = tuple(_named_explanations(path.strip().lower()))
    if names:
        return names
    try:
        return (explain_path(path),)
    except UnknownPathError as error:
        raise UsageError("unknown-topic", f"no field or name is called {path!r}", hints=_hints(path, error)) from None


def _named_explanations(name: str) -> Iterator[NameExplanation]:
    if name.startswith(f"{POLICY}:"):
        name = POLICY
    for group in GROUPS.values():
        for explanation in group.values():
            former = _FORMER_NAMES.get(explanation.name)
            if name == explanation.name and former is None:
                yield explanation
            elif name in {explanation.name, former}:
                yield replace(explanation, meaning=f"{explanation.meaning} Its former name is `{former}`.")
    yield from (_ERRORS[renamed.reference] for renamed in _RENAMED_ERRORS if name == renamed.former)


def _field_below(name: str) -> str | None:
    """Return the field of an app or of octosync.yaml with a name that was given without its path, the shortest; None for none."""
    waiting = deque(field.path for field in explained_roots())
    while waiting:
        path = waiting.popleft()
        if path.rpartition(".")[2] == name:
            return path
        waiting.extend(field.path for field in explain_path(path).fields)
    return None


def _hints(path: str, error: UnknownPathError) -> tuple[str, ...]:
    near = error.near or (None if error.parent else _field_below(path) or closest(path, _names()))
    meant = (f"Did you mean {near}?",) if near else ()
    if error.parent is not None and error.parent.fields:
        fields = ", ".join(field.path.rpartition(".")[2] for field in error.parent.fields)
        return (*meant, f"{error.parent.path} has: {fields}")
    if error.parent is not None:
        return (*meant, f"{error.parent.path} has no fields: it is {error.parent.type}")
    return (*meant, "`octosync explain` lists the available topics.")
