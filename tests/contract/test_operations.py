"""The table of operations, compared with a second copy taken from the published API."""

from __future__ import annotations

import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octosync.contract import OPERATIONS, Access, Provenance

TABLE = """
 1 apps.activity                        GET    /apps/{slug}/activity
 2 apps.archive                         POST   /apps/{slug}/archive
 3 apps.bootstrap                       POST   /apps/bootstrap
 4 apps.capabilities.check_optimization POST   /apps/{slug}/capabilities/{capability}/check-optimization
 5 apps.capabilities.enable             POST   /apps/{slug}/capabilities/{capability}/enable
 6 apps.capabilities.optimize           POST   /apps/{slug}/capabilities/{capability}/optimize
 7 apps.capabilities.preview            POST   /apps/{slug}/capabilities/{capability}/preview
 8 apps.create                          POST   /apps
 9 apps.list                            GET    /apps
10 apps.create_target                   POST   /apps/{slug}/targets
11 apps.list_targets                    GET    /apps/{slug}/targets
12 apps.delete_slot                     DELETE /apps/{slug}/slots/{capability}
13 apps.get_slot                        GET    /apps/{slug}/slots/{capability}
14 apps.put_slot                        PUT    /apps/{slug}/slots/{capability}
15 apps.delete_target                   DELETE /apps/{slug}/targets/{target_id}
16 apps.deployments                     GET    /apps/{slug}/deployments
17 apps.first_request                   GET    /apps/{slug}/first-request
18 apps.get                             GET    /apps/{slug}
19 apps.update                          PATCH  /apps/{slug}
20 apps.health                          GET    /apps/{slug}/health
21 apps.delete_inference_config         DELETE /apps/{slug}/inference-config
22 apps.get_inference_config            GET    /apps/{slug}/inference-config
23 apps.put_inference_config            PUT    /apps/{slug}/inference-config
24 apps.list_slots                      GET    /apps/{slug}/slots
25 apps.routing_decisions               GET    /apps/{slug}/routing/decisions
26 apps.routing_stats                   GET    /apps/{slug}/routing/stats
 - activity.list                        GET    /activity
 - deployments.list                     GET    /deployments
"""
ROWS = [tuple(line.split()) for line in TABLE.strip().splitlines()]

READS_BY_POST = {"apps.capabilities.check_optimization", "apps.capabilities.preview"}
# Documented as not idempotent, or as refusing a repetition: never retried without a read.
ONCE = {
    "apps.bootstrap",
    "apps.capabilities.enable",
    "apps.capabilities.optimize",
    "apps.create",
    "apps.create_target",
}
SAFE_WITHIN_A_SEGMENT = frozenset(string.ascii_letters + string.digits + "-._~%")


def test_the_table_matches_the_published_api() -> None:
    """It contains all 26 operations once, and the two of the org, each with its number, id, method and path."""
    numbered = [
        ("-" if operation.number is None else str(operation.number), operation.id, operation.method, operation.path)
        for operation in OPERATIONS.values()
    ]
    assert numbered == ROWS
    assert [operation.number for operation in OPERATIONS.values() if operation.number is not None] == list(range(1, 27))
    assert all(id_ == operation.id for id_, operation in OPERATIONS.items())


@pytest.mark.parametrize("id_", OPERATIONS)
def test_reads_and_writes_follow_from_the_method(id_: str) -> None:
    """A GET is a read and every other method a write, except for the two POSTs that are documented to change nothing."""
    operation = OPERATIONS[id_]
    reads = operation.method == "GET" or id_ in READS_BY_POST
    assert operation.access is (Access.READ if reads else Access.WRITE)
    assert operation.idempotent is (id_ not in ONCE)


@pytest.mark.parametrize("id_", OPERATIONS)
def test_an_operation_has_a_summary_and_a_source(id_: str) -> None:
    """Operations are documented, their paths are assumed, and each has a summary of one sentence."""
    operation = OPERATIONS[id_]
    assert operation.provenance is Provenance.STATED
    assert operation.path_provenance is Provenance.ASSUMED
    assert operation.summary.endswith(".")


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.text(min_size=1))
def test_any_name_stays_in_its_path_segment(slug: str, capability: str) -> None:
    """A hostile name can't leave its path segment, add a query or end the URL: it is percent-encoded and can be decoded."""
    url = OPERATIONS["apps.put_slot"].url({"slug": slug, "capability": capability})
    *head, sent_slug, slots, sent_capability = url.split("/")
    assert (head, slots) == (["", "apps"], "slots")
    assert set(sent_slug + sent_capability) <= SAFE_WITHIN_A_SEGMENT
    assert (unquote(sent_slug), unquote(sent_capability)) == (slug, capability)


@pytest.mark.parametrize(
    ("hostile", "sent"),
    [
        ("a/../b", "a%2F..%2Fb"),
        ("a?org_id=x", "a%3Forg_id%3Dx"),
        ("a#b", "a%23b"),
        ("a b", "a%20b"),
        ("%2e%2e", "%252e%252e"),
        ("a\r\nb", "a%0D%0Ab"),
        ("{slug}", "%7Bslug%7D"),
        ("ü", "%C3%BC"),
    ],
)
def test_reserved_characters_are_encoded(hostile: str, sent: str) -> None:
    """Slashes, queries, fragments, line breaks, braces and percent signs lose their meaning."""
    assert OPERATIONS["apps.get"].url({"slug": hostile}) == f"/apps/{sent}"


def test_a_missing_parameter_is_an_error() -> None:
    """A template is never sent with an empty parameter."""
    with pytest.raises(KeyError, match="capability"):
        OPERATIONS["apps.get_slot"].url({"slug": "demo"})
