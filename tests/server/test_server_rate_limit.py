from __future__ import annotations

from tests.support.embedded_planes import Clock, client, ok, refused, run_plane

from octosync.server import Token


def test_the_window_slides() -> None:
    """Never more than the limit in any window: a request is allowed again exactly when the oldest one leaves the window."""
    clock = Clock()
    with run_plane(rate_limit=2, rate_window_seconds=10, clock=clock) as plane:
        ok(plane.api.get("/apps"))
        clock.advance(6)
        ok(plane.api.get("/apps"))
        answer = plane.api.get("/apps")
        refused(answer, 429, "rate_limited")
        assert answer.headers["Retry-After"] == "4"
        clock.advance(3.5)
        assert plane.api.get("/apps").headers["Retry-After"] == "1"
        clock.advance(0.5)
        ok(plane.api.get("/apps"))
        refused(plane.api.get("/apps"), 429, "rate_limited")


def test_each_key_has_its_own_window() -> None:
    """Each key has its own limit; local controls and refused requests don't count."""
    tokens = (Token.parse("a:1"), Token.parse("b:2"))
    with run_plane(rate_limit=1, tokens=tokens) as plane:
        url = str(plane.api.base_url)
        with client(url, "1") as one, client(url, "2") as two:
            refused(plane.api.get("/apps"), 401, "invalid_api_key")
            ok(one.get("/apps"))
            refused(one.get("/apps"), 429, "rate_limited")
            ok(two.get("/apps"))
            assert [entry["status"] for entry in plane.log()] == [401, 200, 429, 200]
            plane.tick()
            ok(one.get("/apps"))


def test_there_is_no_limit_by_default() -> None:
    """More than a minute's worth of requests are all served."""
    with run_plane() as plane:
        assert {plane.api.get("/apps").status_code for _ in range(150)} == {200}
