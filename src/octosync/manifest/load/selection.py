"""Select apps of a state by `--app` and `-l`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from octosync.errors import UsageError
from octosync.model import Address, Kind, Requirement, Section, State, closest

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._/-]*)\s*(!=|==|=)\s*(?:([A-Za-z0-9._-]+)\s*)?")


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """Return the terms of a selector such as `team=x,tier!=y`. Raises `UsageError` if it is malformed."""
    terms = [_REQUIREMENT.fullmatch(term) for term in text.split(",")]
    found = [Requirement(term[1], term[3] or "", term[2] != "!=") for term in terms if term is not None]
    if len(found) != len(terms):
        raise UsageError(
            "malformed-selector", f"invalid selector {text!r}", hints=("Write it like team=search,tier!=test",)
        )
    return tuple(found)


def select(
    state: State, *, apps: Iterable[str] = (), selector: str | None = None, before: State | None = None
) -> State:
    """Return the apps that match any of the slug patterns and all terms of the selector.

    `before` is the earlier state: a pattern or selector may match only apps of it. Raises `UsageError` for a malformed
    selector, a pattern that matches no declared app, or an empty selection.
    """
    patterns = tuple(apps)
    known = State({**(before.apps if before is not None else {}), **state.apps})
    for pattern in patterns:
        if not any(fnmatchcase(slug, pattern) for slug in known.apps):
            raise UsageError("no-such-app", f"--app {pattern} matches no declared app", hints=_hints(pattern, known))
    chosen = matching(state, apps=patterns, selector=selector)
    if selector is not None and known.apps and not matching(known, apps=patterns, selector=selector).apps:
        raise UsageError(
            "nothing-selected",
            f"-l {selector} matches none of the {len(state.apps)} declared apps",
            hints=("octosync reads labels from metadata.labels of the App, or of its child documents.",),
        )
    return chosen


def matching(state: State, *, apps: Iterable[str] = (), selector: str | None = None) -> State:
    """Return the matching apps, possibly none. Raises `UsageError` for a malformed selector."""
    patterns = tuple(apps)
    requirements = parse_selector(selector) if selector is not None else ()
    if not patterns and not requirements:
        return state
    return State.from_apps(
        *(
            app
            for app in state
            if (not patterns or any(fnmatchcase(app.slug, pattern) for pattern in patterns))
            and all(requirement.accepts(app.labels) for requirement in requirements)
        )
    )


def _hints(pattern: str, state: State) -> tuple[str, ...]:
    if (close := closest(pattern, state.apps)) is not None:
        return (f"Did you mean --app {close}?",)
    shown = ", ".join(list(state.apps)[:10])
    return (f"Declared: {shown}{', …' if len(state.apps) > 10 else ''}" if shown else "No app is declared.",)


def check_objects(objects: Iterable[Address], tree: State, before: State) -> None:
    """Raise `UsageError` for an object that neither tree nor base declares, and that no list owned by its app may contain.

    The object need not be live.
    """
    for address in objects:
        declarations = [state.apps[address.app] for state in (tree, before) if address.app in state.apps]
        owned = {section for app in declarations for section in app.complete_sections}
        if any(address in app.addresses for app in declarations) or _SECTIONS.get(address.kind) in owned:
            continue
        raise no_such_object(address, tree, before)


def no_such_object(address: Address, tree: State, before: State) -> UsageError:
    """Return the error for an object that is not declared and not live."""
    declarations = [state.apps[address.app] for state in (tree, before) if address.app in state.apps]
    if not declarations:
        known = [str(app.address) for state in (tree, before) for app in state]
    else:
        known = [str(known) for app in declarations for known in app.addresses]
    close = closest(str(address), known)
    listing = ", ".join(list(dict.fromkeys(known))[:10])
    hint = f"Did you mean --target {close}?" if close is not None else f"Declared: {listing}"
    what = (
        "no selected manifest declares it" if declarations else f"no selected manifest declares the app {address.app}"
    )
    return UsageError("no-such-object", f"--target {address}: {what}", hints=(hint,) if known else ())


_SECTIONS = {
    Kind.TARGET: Section.TARGETS,
    Kind.SLOT: Section.SLOTS,
    Kind.INFERENCE_CONFIG: Section.INFERENCE_CONFIG,
}
