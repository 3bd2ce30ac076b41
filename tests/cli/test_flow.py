"""The number of files and functions that run from a manifest to a printed plan."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

from tests.support.manifests import slot
from tests.support.projects import Project

import octosync

_SOURCE = str(Path(octosync.__file__).parent)
# The code is close to both limits: one more needs one less elsewhere.
_MOST_FILES = 64
_MOST_FUNCTIONS = 378


def test_a_plan_of_one_slot_enters_few_functions(project: Project) -> None:
    """A plan of one app with one slot enters a bounded number of octosync's files and functions.

    The second run in a process counts, when all modules are imported. A comprehension or lambda belongs to its function.
    """
    project.workdir.write("apps/demo.yaml", slot("servingPolicy: local_first"))
    assert "2 to create" in project.plan().stdout
    entered = _entered(project.plan)
    files = {code.co_filename for code in entered}
    listing = "\n".join(sorted(f"{Path(code.co_filename).relative_to(_SOURCE)} {code.co_qualname}" for code in entered))
    assert len(files) <= _MOST_FILES, f"{len(files)} files\n{listing}"
    assert len(entered) <= _MOST_FUNCTIONS, f"{len(entered)} functions\n{listing}"


def _entered(run: Callable[[], object]) -> set[CodeType]:
    """Return the code of octosync's functions that this thread enters; the server of the test runs in another one."""
    entered: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        del argument
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_SOURCE) and not code.co_name.startswith("<"):
            entered.add(code)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return entered
