"""What a bootstrap made, as it is handed over."""

from __future__ import annotations

import shlex

import pytest

from octosync.errors import ExitCode
from octosync.report import bootstrap_document, keys_text, render_bootstrap, render_bootstrap_end


@pytest.mark.parametrize("key", ["oct_app_1", "a'b", "$(reboot)", "#", "a=b", '"', "\\"])
def test_a_key_is_a_variable_for_every_shell(key: str) -> None:
    """Whatever signs a key has, a shell that reads the line has the key, and runs nothing."""
    (line,) = keys_text({"app_key": key}).splitlines()
    assert shlex.split(line) == [f"OCTOMIL_APP_KEY={key}"]


def test_the_document_names_every_key_and_has_each_in_one_place() -> None:
    """Keys that there are none of, and those in a file, are null, never left out."""
    facts = {"run_id": "r", "app": "a", "target": "ios:x", "manifest": "m"}
    shown = bootstrap_document(**facts, keys={"app_key": "k"}, key_file=None)
    assert (shown["app_key"], shown["publishable_key"], shown["key_file"]) == ("k", None, None)
    filed = bootstrap_document(**facts, keys={"app_key": "k", "publishable_key": "p"}, key_file="f")
    assert (filed["app_key"], filed["publishable_key"], filed["key_file"]) == (None, None, "f")
    assert shown.keys() == filed.keys()


def test_what_is_shown_is_safe_to_show() -> None:
    """Texts of the control plane's and of the command line reach no terminal as orders."""
    wild = "\x1b[31m"
    shown = render_bootstrap(app=wild, target=wild, where=wild, key_file=wild, plan=wild)
    shown += render_bootstrap_end(run_id=wild, history=wild, exit_code=ExitCode.DONE)
    assert "\x1b" not in shown
    assert shown.count("\\x1b[31m") == 8
