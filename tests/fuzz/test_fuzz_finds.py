"""The fuzzer works: with a former defect put back, a part finds it within a fixed number of cases of a seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from tests.fuzz import runner
from tests.fuzz.machine import MACHINE, OFFLINE
from tests.fuzz.manifests import GROWTH, KUSTOMIZATIONS
from tests.fuzz.responses import RESPONSES
from tests.fuzz.runner import Part, run

from octosync.apply import write
from octosync.apply.executor import IrreversibleActions
from octosync.contract.operations import BodyTooLarge
from octosync.manifest.load import kustomize
from octosync.manifest.yaml import source
from octosync.octomil import transport
from octosync.plan import compare

Patch = Callable[[pytest.MonkeyPatch], None]

pytestmark = pytest.mark.fuzz


def _word_scan(patch: pytest.MonkeyPatch) -> None:
    """Search for keys in a long word from each of its letters: quadratic."""
    patch.setattr(source, "_KEY_LIKE", re.compile(r"([\w-]+)[\"']?\s*:"))


def _aliases(patch: pytest.MonkeyPatch) -> None:
    """Visit aliased values again each time: exponential."""

    def texts(value: object, depth: int = 0) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif depth < 9 and isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                yield from texts(item, depth + 1)

    patch.setattr(kustomize, "_texts", texts)


def _decoding(patch: pytest.MonkeyPatch) -> None:
    """Check the size of a body only after all codings were decoded."""

    async def body(response: httpx.Response) -> bytes:
        found = b"".join([piece async for piece in response.aiter_bytes()])
        if len(found) > transport.MAX_RESPONSE_BYTES:
            raise BodyTooLarge
        return found

    patch.setattr(transport, "_body", body)


def _offline(patch: pytest.MonkeyPatch) -> None:
    """Read the id of a target that only a base declares."""
    healthy = compare._remove  # noqa: SLF001

    def remove(desired: Any, target: Any) -> Any:
        target.server_fields["id"]
        return healthy(desired, target)

    patch.setattr(compare, "_remove", remove)


def _risks(patch: pytest.MonkeyPatch) -> None:
    """Never stop moves and archives."""
    patch.setattr(IrreversibleActions, "stopper", lambda *_: None)
    patch.setattr(IrreversibleActions, "admits", lambda *_: True)


def _lagging(patch: pytest.MonkeyPatch) -> None:
    """Report a write as failed if its response was lost and reads don't show it yet."""
    patch.setattr(write, "_unconfirmed", lambda refused: refused)


_HANG: Final = "CPU time"
_CASES: Final = 150  # hypothesis starts with small cases, so another number means other cases
FOUND: Final[dict[str, tuple[Patch, Part, int, str]]] = {
    # name: the defect, the part that finds it, the seed, and the text of its finding
    "word scan": (_word_scan, GROWTH, 2, "bytes take"),
    "aliases": (_aliases, KUSTOMIZATIONS, 1, _HANG),
    "decoding": (_decoding, RESPONSES, 1, "MiB of memory"),
    "offline": (_offline, OFFLINE, 3, "KeyError"),
    "moves and archives": (_risks, MACHINE, 2, "registered nowhere|was archived"),
    "lagging reads": (_lagging, MACHINE, 1, "took effect, and is reported failed"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_defect_that_is_put_back_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the fuzzer finds a former defect that is put back, within a few cases of a fixed seed."""
    put_back, part, seed, found = FOUND[name]
    if found == _HANG:  # no other case may end by this limit, which a slow machine reaches sooner
        monkeypatch.setattr(runner, "CPU_LIMIT", 1.0)
    put_back(monkeypatch)
    result = run(part, seed=seed, cases=_CASES, shrinks=False)
    assert re.search(found, result.failure), f"{result.cases} cases: {result.failure or 'nothing was found'}"
    assert result.replay
