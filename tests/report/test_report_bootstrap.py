"""The report of a bootstrap: its keys, its document and its text."""

from __future__ import annotations

import shlex

import pytest

from octosync.errors import ExitCode
from octosync.report import bootstrap_document, keys_text, render_bootstrap, render_bootstrap_end


@pytest.mark.parametrize("key", ["oct_app_1", "a'b", "$(reboot)", "#", "a=b", '"', "\\"])
def test_a_key_is_a_variable_for_every_shell(key: str) -> None:
    """A shell that reads the line sets the variable to the key, for any characters in the key, and runs nothing."""
    (line,) = keys_text({"app_key": key}).splitlines()
    assert shlex.split(line) == [f"OCTOMIL_APP_KEY={key}"]


def test_the_document_always_has_every_key() -> None:
    """Keys that don't exist, and keys in a file, are null and never left out."""
    facts = {"run_id": "r", "app": "a", "target": "ios:x", "manifest": "m"}
    shown = bootstrap_document(**facts, keys={"app_key": "k"}, key_file=None)
    assert (shown["app_key"], shown["publishable_key"], shown["key_file"]) == ("k", None, None)
    filed = bootstrap_document(**facts, keys={"app_key": "k", "publishable_key": "p"}, key_file="f")
    assert (filed["app_key"], filed["publishable_key"], filed["key_file"]) == (None, None, "f")
    assert shown.keys() == filed.keys()


def test_the_text_is_safe_to_show() -> None:
    """Control characters of the control plane's and the command line's texts never reach the terminal."""
    escape = "\x1b[31m"
    shown = render_bootstrap(app=escape, target=escape, where=escape, key_file=escape, plan=escape)
    shown += render_bootstrap_end(run_id=escape, history=escape, exit_code=ExitCode.DONE)
    assert "\x1b" not in shown
    assert shown.count("\\x1b[31m") == 8
