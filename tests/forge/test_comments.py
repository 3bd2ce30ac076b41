"""The sticky comment of a pull request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.forges import FORBIDDEN, HEAD, NEXT, Answer, Forge, refused

from octosync.errors import Forbidden, Missing, Unavailable
from octosync.forge import Comment, GitHub, PostStatus, find_merged_pull_request, mark_outdated, post_comment

PLAN = Comment(pull=7, marker="plan-production", text="### 2 to create", head=HEAD)


def test_it_is_made_once_and_then_kept_up_to_date(github: GitHub, forge: Forge) -> None:
    """The first run creates the comment, a run with the same text sends nothing, one with another text replaces it."""
    assert post_comment(github, PLAN).status is PostStatus.CREATED
    assert post_comment(github, PLAN).status is PostStatus.UNCHANGED
    assert post_comment(github, replace(PLAN, text="### Nothing")).status is PostStatus.UPDATED
    assert len(forge.comments) == 1
    assert len(forge.writes()) == 2
    assert "### Nothing" in forge.comments[0]["body"]
    assert f"<code>{HEAD[:7]}</code>" in forge.comments[0]["body"]


def test_it_is_found_on_the_last_of_many_pages(github: GitHub, forge: Forge) -> None:
    """The comment is found among 250 others wherever it is, and all others stay unchanged."""
    for number in range(249):
        forge.add_comment(f"comment {number}")
    post_comment(github, PLAN)
    before = [comment["body"] for comment in forge.comments[:-1]]
    assert post_comment(github, replace(PLAN, text="new")).status is PostStatus.UPDATED
    assert [comment["body"] for comment in forge.comments[:-1]] == before
    assert len(forge.comments) == 250


def test_somebody_elses_comment_with_our_marker_is_not_touched(github: GitHub, forge: Forge) -> None:
    """A comment needs both the marker and the right author."""
    post_comment(github, PLAN)
    forged = forge.comments.pop()["body"]
    forge.add_comment(forged, author="mallory")
    assert post_comment(github, PLAN).status is PostStatus.CREATED
    assert [comment["user"]["login"] for comment in forge.comments] == ["mallory", "github-actions[bot]"]
    assert forge.comments[0]["body"] == forged


def test_the_author_is_the_tokens_account_or_the_one_that_is_named(github: GitHub, forge: Forge) -> None:
    """A person's token finds this person's comments; the login of an app can be given."""
    forge.login = "ana"
    post_comment(github, PLAN)
    assert post_comment(github, PLAN).status is PostStatus.UNCHANGED
    forge.login = None
    assert post_comment(github, replace(PLAN, author="Ana")).status is PostStatus.UNCHANGED
    assert post_comment(github, PLAN).status is PostStatus.CREATED


@pytest.mark.parametrize("body", [None, "", "quoted: <!-- octosync:plan-production -->", "<!-- octosync:plan -->"])
def test_only_its_own_first_line_marks_it(github: GitHub, forge: Forge, body: str | None) -> None:
    """Neither a quoted marker nor a longer one that starts with the marker counts."""
    forge.comments.append({"id": 1, "user": None, "body": body})
    assert post_comment(github, PLAN).status is PostStatus.CREATED


def test_line_breaks_of_the_forge_are_no_change(github: GitHub, forge: Forge) -> None:
    """A body with other line breaks or without the last one counts as the same."""
    post_comment(github, replace(PLAN, text="one\n\ntwo\n"))
    forge.comments[0]["body"] = forge.comments[0]["body"].replace("\n", "\r\n").rstrip()
    assert post_comment(github, replace(PLAN, text="one\n\ntwo\n")).status is PostStatus.UNCHANGED


def test_a_late_run_leaves_what_is_about_the_head(github: GitHub, forge: Forge) -> None:
    """Once the head has its comment, a run for an earlier revision doesn't replace it."""
    forge.pulls[7]["head"]["sha"] = NEXT
    post_comment(github, replace(PLAN, head=NEXT, text="new"))
    assert post_comment(github, PLAN).status is PostStatus.NEWER
    assert "new" in forge.comments[0]["body"]


def test_what_is_not_about_the_head_says_so(github: GitHub, forge: Forge) -> None:
    """A run whose head has changed meanwhile comments as outdated; the head's own run removes that."""
    forge.pulls[7]["head"]["sha"] = NEXT
    post_comment(github, PLAN)
    assert "Outdated" in forge.comments[0]["body"]
    assert post_comment(github, replace(PLAN, head=NEXT)).status is PostStatus.UPDATED
    assert "Outdated" not in forge.comments[0]["body"]


def test_it_is_marked_as_outdated_once(github: GitHub, forge: Forge) -> None:
    """If the head has changed, the comment gets a warning above its text, once."""
    assert mark_outdated(github, PLAN).status is PostStatus.ABSENT
    post_comment(github, PLAN)
    assert mark_outdated(github, PLAN).status is PostStatus.UNCHANGED
    forge.pulls[7]["head"]["sha"] = NEXT
    assert mark_outdated(github, PLAN).status is PostStatus.UPDATED
    assert mark_outdated(github, PLAN).status is PostStatus.UNCHANGED
    assert forge.comments[0]["body"].count("Outdated") == 1
    assert forge.comments[0]["body"].endswith(f"### 2 to create\n\n<sub>For revision <code>{HEAD[:7]}</code>.</sub>")


def test_a_text_that_is_too_long_is_shortened_by_whole_blocks(github: GitHub, forge: Forge) -> None:
    """Blocks beyond the limit of a comment are left out, with a note: no fence and no folded section is cut."""
    block = "<details><summary>app</summary>\n\n```diff\n+ a\n\n+ b\n```\n\n</details>"
    text = "\n\n".join(["### 2,000 to create", *[block] * 2_000])
    posted = post_comment(github, replace(PLAN, text=text))
    assert posted.shortened
    body = forge.comments[0]["body"]
    assert 60_000 < len(body) <= 65_536
    assert body.count("<details>") == body.count("</details>") == body.count("```diff")
    assert "in the job's summary" in body
    assert len(forge.writes()) == 1


def test_a_text_that_the_forge_finds_too_long_is_its_first_block(github: GitHub, forge: Forge) -> None:
    """A forge with another limit gets the short form."""
    forge.answer_next(
        "POST", Answer(422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]})
    )
    posted = post_comment(github, replace(PLAN, text=f"### 9 to create\n\n{'x' * 50_000}\n\nend"))
    assert posted.status is PostStatus.CREATED
    assert posted.shortened
    assert "### 9 to create" in forge.comments[0]["body"]
    assert len(forge.comments[0]["body"]) < 3_000


def test_a_lost_answer_makes_no_second_comment(github: GitHub, forge: Forge) -> None:
    """A POST that was carried out and whose response was lost is found before it would be sent again."""
    forge.answer_next("POST", Answer(502, b"<html>", done=True))
    assert post_comment(github, PLAN).status is PostStatus.UNCHANGED
    assert len(forge.comments) == 1


def test_a_lost_post_is_sent_again(github: GitHub, forge: Forge) -> None:
    """A POST that was not carried out is sent again after a search for the comment."""
    forge.answer_next("POST", Answer(0))
    assert post_comment(github, PLAN).status is PostStatus.CREATED
    assert len(forge.comments) == 1


def test_a_comment_that_is_deleted_meanwhile_is_made_again(github: GitHub, forge: Forge) -> None:
    """A comment that is deleted between the read and the update is created again."""
    post_comment(github, PLAN)
    forge.answer_next("PATCH", refused(404, "Not Found"))
    assert post_comment(github, replace(PLAN, text="new")).status is PostStatus.CREATED


@pytest.mark.parametrize(("answer", "error"), [(FORBIDDEN, Forbidden), (refused(404, "Not Found"), Missing)])
def test_a_refusal_is_said(github: GitHub, forge: Forge, answer: Answer, error: type[Exception]) -> None:
    """A forbidden or missing pull request is an error with GitHub's message."""
    forge.answer_next("POST", answer)
    with pytest.raises(error, match=answer.body["message"]):
        post_comment(github, PLAN)


def test_a_forge_that_stays_away_is_unavailable(github: GitHub, forge: Forge) -> None:
    """After its attempts a run ends as one that can be retried."""
    forge.answer_next("GET", *[refused(503, "Unavailable")] * 5)
    with pytest.raises(Unavailable, match="Unavailable"):
        post_comment(github, PLAN)
    assert forge.writes() == []


def test_the_merged_pull_request_is_found_by_its_merge(github: GitHub, forge: Forge) -> None:
    """Of the pull requests with a commit, the one whose merge it is; none for a push without one."""
    forge.merged[HEAD] = [
        {"number": 3, "merged_at": None, "merge_commit_sha": HEAD},
        {"number": 4, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": NEXT},
        {"number": 5, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": HEAD},
    ]
    assert find_merged_pull_request(github, HEAD) == 5
    assert find_merged_pull_request(github, NEXT) is None
