"""No report hides a change: what differs in random objects appears in text, Markdown and GitHub annotations."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.examples import seeds
from tests.support.sample_reports import plan_report
from tests.support.states import desired_app, live_app, plan_of
from tests.support.workflow_commands import commands_in

from octosync.model import JsonValue
from octosync.report import render_annotations, render_plan, render_plan_markdown

_SENSITIVE = ("api_token", "key")
_KEYS = ("model", "stages", "prompt", "a.b", "[0]", "api_token")


class Pair:
    """A random value and a changed copy. Every text is unique, so that its presence in a report can be checked."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._texts = 0

    def value(self, depth: int = 0) -> Any:
        """Return a random JSON value."""
        kind = self._rng.choice(
            ["text", "text", "texts", "objects", "object", "lines", "long"][: 7 if depth < 3 else 2]
        )
        match kind:
            case "text":
                return self._text()
            case "long":
                return " ".join(self._text() for _ in range(self._rng.randint(10, 30)))
            case "lines":
                return "\n".join(self._text() for _ in range(self._rng.randint(2, 20)))
            case "texts":
                return [self._text() for _ in range(self._rng.randint(0, 9))]
            case "objects":
                naming = self._rng.choice([(), ("binding_key",), ("key",)])
                return [
                    {**{key: self._text() for key in naming}, "v": self.value(depth + 1)}
                    for _ in range(self._rng.randint(0, 4))
                ]
            case _:
                return {key: self.value(depth + 1) for key in self._rng.sample(_KEYS, self._rng.randint(1, 3))}

    def changed(self, value: Any) -> Any:
        """Return a copy in which some texts, elements and fields are different, new, missing or moved."""
        if self._rng.random() < 0.05:
            return self.value(2)
        match value:
            case str():
                return "".join(
                    self._text() if part.strip() and self._rng.random() < 0.1 else part for part in _split(value)
                )
            case list():
                items = [self.changed(item) for item in value if self._rng.random() > 0.1]
                if self._rng.random() < 0.2:
                    items.insert(self._rng.randint(0, len(items)), self._text())
                if self._rng.random() < 0.1:
                    self._rng.shuffle(items)
                return items
            case _:
                return {key: self.changed(item) for key, item in value.items() if self._rng.random() > 0.1}

    def _text(self) -> str:
        self._texts += 1
        return f"t{self._texts:04}x"


def _split(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield "\n"
        for at, word in enumerate(line.split(" ")):
            if at:
                yield " "
            yield word


def _texts(value: JsonValue, *, hidden: bool) -> Iterator[str]:
    """Yield the texts in a value: those below the sensitive key, or all others."""
    if isinstance(value, str):
        yield from value.split() if not hidden else ()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, hidden=hidden and key not in _SENSITIVE) if key not in _SENSITIVE or hidden else ()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, hidden=hidden)


def test_every_text_that_differs_is_in_every_report() -> None:
    """A text that only the live or only the declared object contains appears in text, Markdown and GitHub annotations.

    Texts below a sensitive key appear in none. What is left out of an annotation, which has a limit, is counted there.
    """
    for seed in seeds(2_000):
        pair = Pair(random.Random(seed))  # noqa: S311 — not for secrets
        before = {"keep": "same", "z": pair.value()}
        after = {"keep": "same", "z": pair.changed(before["z"])}
        report = plan_report(plan_of(desired_app("app", config=after), live_app("app", config=before)))
        annotations = commands_in(render_annotations(report, lambda origin: origin.file))
        outputs = {
            "text": render_plan(report, colour=False),
            "markdown": render_plan_markdown(report),
            "github": "\n".join(command.message for command in annotations),
        }
        shown = {*_texts(before, hidden=False)} ^ {*_texts(after, hidden=False)}
        hidden = {*_texts(before, hidden=True), *_texts(after, hidden=True)}
        for name, output in outputs.items():
            is_cut = name == "github" and "more line" in output  # GitHub limits the length of a message
            wrong = sorted(text for text in hidden if text in output)
            wrong += sorted(text for text in shown - hidden if text not in output and not is_cut)
            assert not wrong, f"seed {seed}: {name} hides or discloses {wrong}:\n{before}\n{after}\n{output}"
