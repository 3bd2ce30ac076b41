"""The documentation site contains every page, and shows what GitHub shows. `make site` builds it; no test does."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml
from docs.executing import ROOT
from docs.hooks import corrected, for_site

_PAGES: Final = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md")
}
# Failures and alerts have their own form.
_RUNBOOKS: Final = "how-to/failures.md"
_REPOSITORY: Final = "https://github.com/octomil/octosync"


# Without the tags that name functions of MkDocs.
_CONFIGURATION: Final[dict[str, Any]] = yaml.safe_load(
    re.sub(r" !!python/\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
)


def _paths(navigation: Any) -> list[str]:
    match navigation:
        case str(path):
            return [path]
        case list(entries):
            return [path for entry in entries for path in _paths(entry)]
        case _:
            return _paths(list(navigation.values()))


def test_every_page_is_in_the_navigation() -> None:
    """The navigation of the site lists each page once."""
    assert sorted(_paths(_CONFIGURATION["nav"])) == sorted(_PAGES)


@pytest.mark.parametrize("path", [path for path in _PAGES if path.startswith("how-to/") and path != _RUNBOOKS])
def test_a_guide_states_what_it_needs_and_how_to_check(path: str) -> None:
    """A how-to guide begins with what the reader needs, and has how to check the result and what can go wrong."""
    headings = re.findall(r"^## (.+)$", _PAGES[path], re.MULTILINE)
    assert headings[0] == "Before you begin"
    assert headings.index("Check") < headings.index("What can go wrong")


def test_a_warning_fails_the_build() -> None:
    """The site is built strictly: a broken link or anchor is an error. It loads no fonts and counts no visitors."""
    assert _CONFIGURATION["strict"]
    assert set(_CONFIGURATION["validation"].values()) == {"warn"}
    assert _CONFIGURATION["theme"]["font"] is False
    assert "analytics" not in _CONFIGURATION["extra"]


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_is_rendered_alike_on_github_and_on_the_site(path: str) -> None:
    """A page has no syntax that only one of the two renders, and a nested list is indented by four spaces."""
    prose = re.sub(r"^ *```.*?^ *```$", "", _PAGES[path], flags=re.MULTILINE | re.DOTALL)
    assert (
        re.findall(r"^(?:!!!|\?\?\?|===) .*|^ {1,3}(?:[-*]|\d+\.) .*|:(?:material|octicons)-.*:", prose, re.MULTILINE)
        == []
    )
    assert re.findall(r"^(?![-*|> ]|\d+\. )\S.*\n(?:[-*]|\d+\.) .*", prose, re.MULTILINE) == []
    assert "```mermaid" not in _PAGES[path]


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[x](merge.md#github)", "[x](merge.md#github)"),
        ("[x](../reference/rules.md)", "[x](../reference/rules.md)"),
        ("[x](#here)", "[x](#here)"),
        ("[x](https://cel.dev)", "[x](https://cel.dev)"),
        ("[x](../../SECURITY.md#scope)", f"[x]({_REPOSITORY}/blob/main/SECURITY.md#scope)"),
        ("[x](../../examples/ci/)", f"[x]({_REPOSITORY}/tree/main/examples/ci)"),
        ("```\n[x](../../SECURITY.md)\n```", "```\n[x](../../SECURITY.md)\n```"),
    ],
)
def test_a_link_to_a_file_outside_the_pages_leads_to_github(link: str, shown: str) -> None:
    """On the site, links to files outside docs/ lead to the repository; other links and code are unchanged."""
    assert for_site(link, "how-to/watch.md", _REPOSITORY) == shown


def test_every_picture_follows_the_color_scheme_of_the_site() -> None:
    """On the site, a picture is one image for each color scheme. The path of an image is that in the page."""
    for path, text in _PAGES.items():
        shown = for_site(text, path, _REPOSITORY)
        assert "<picture>" not in shown
        assert shown.count("#only-dark)") == shown.count("#only-light)") == text.count("<picture>")
    assert "](../images/status-dark.png#only-dark){" in for_site(
        _PAGES["how-to/watch.md"], "how-to/watch.md", _REPOSITORY
    )


def test_the_site_requests_nothing_from_other_servers() -> None:
    """A link to another server is allowed, a script or image of one is an error. The theme's query of GitHub is removed.

    Its search gets a name for screen readers.
    """
    link = '<a href="https://octomil.com" data-md-component="source">'
    assert corrected(link) == '<a href="https://octomil.com">'
    assert corrected('<div role="dialog">') == '<div role="dialog" aria-label="Search">'
    for element in (
        '<script src="https://x.test/a.js">',
        '<img alt="" src="https://x.test/a.png">',
        '<link rel="stylesheet" href="http://x.test/">',
    ):
        with pytest.raises(ValueError, match="another server"):
            corrected(element)
