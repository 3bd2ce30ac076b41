"""`octosync api`: the table of operations, and its comparison with an OpenAPI document and with a live control plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.openapi import move, own_document, schema_in
from tests.support.projects import Project
from tests.support.renamed_api import fields, rename
from tests.support.workdirs import Workdir

from octosync.contract import OPERATIONS
from octosync.contract.openapi import MAX_DOCUMENT_BYTES


def test_the_operations_are_listed_without_a_control_plane(workdir: Workdir) -> None:
    """Each operation has a line with method, path, the source of that knowledge, and its users."""
    ran = workdir.octosync("api", "list")
    assert (ran.code, ran.stderr) == (0, "")
    lines = {line.split()[0]: line.split() for line in ran.stdout.splitlines() if line}
    for operation in OPERATIONS.values():
        assert lines[operation.id][1:4] == [operation.method, operation.path, "assumed"]
    assert lines["apps.create"][4:] == ["apply"]


def test_overridden_operations_are_marked(workdir: Workdir) -> None:
    """The list is the table in force: what octosync.yaml changes is shown and marked."""
    workdir.write("octosync.yaml", 'api: {operations: {apps.health: {path: "/apps/{slug}/coverage"}}}\n')
    ran = workdir.octosync("api", "list")
    assert "/apps/{slug}/coverage" in ran.stdout
    assert "1 operation overridden in octosync.yaml" in ran.stdout
    document = json.loads(workdir.octosync("api", "list", "-o", "json").stdout)
    assert document["format_version"] == "1.0"
    overridden = {operation["id"]: operation["path"] for operation in document["operations"] if operation["overridden"]}
    assert overridden == {"apps.health": "/apps/{slug}/coverage"}
    assert len(document["operations"]) == len(OPERATIONS)


def test_an_invalid_configuration_is_an_error(workdir: Workdir) -> None:
    """The errors of octosync.yaml are reported, and nothing is compared."""
    workdir.write("octosync.yaml", "api: {operations: {apps.helth: {method: GET}}}\n")
    ran = workdir.octosync("api", "list")
    assert (ran.code, ran.stdout) == (1, "")
    assert "apps.helth" in ran.stderr


def test_the_embedded_document_agrees(project: Project) -> None:
    """The document of the embedded control plane agrees in everything, given by its URL or by its origin."""
    for url in (f"{project.url}/openapi.json", project.url):
        ran = project.workdir.octosync("api", "check", url)
        assert (ran.code, ran.stderr) == (0, "")
        assert "All agree: 28 operations." in ran.stdout
        assert f"{project.url}/openapi.json" in ran.stdout


def test_a_difference_is_shown_with_the_overrides_to_paste(workdir: Workdir) -> None:
    """A difference is exit 1; with the printed lines in octosync.yaml the same check succeeds."""
    document = own_document()
    move(document, "apps.health", path="/api/v1/apps/{slug}/coverage")
    move(document, "apps.update", method="put")
    workdir.write("spec/openapi.json", json.dumps(document))
    ran = workdir.octosync("api", "check", "spec/openapi.json")
    assert (ran.code, ran.stderr) == (1, "")
    assert "✗ apps.health" in ran.stdout
    assert "the document has it at /apps/{slug}/coverage" in ran.stdout
    assert "2 operations differ, 26 agree." in ran.stdout
    workdir.write("octosync.yaml", ran.stdout[ran.stdout.index("api:") :])
    again = workdir.octosync("api", "check", "spec/openapi.json")
    assert again.code == 0
    assert "/apps/{slug}/coverage   octosync.yaml" in again.stdout


def test_the_comparison_has_a_json_document(workdir: Workdir) -> None:
    """`-o json` has every operation with its findings, and the overrides for octosync.yaml."""
    document = own_document()
    move(document, "apps.update", method="put")
    schema_in(document, "Apps")["properties"].pop("apps")
    ran = workdir.octosync("api", "check", "-", "-o", "json", stdin=json.dumps(document).encode())
    assert ran.code == 1
    shown = json.loads(ran.stdout)
    assert (shown["format_version"], shown["agrees"]) == ("1.0", False)
    assert shown["api"] == {"operations": {"apps.update": {"method": "PUT"}}}
    differ = {operation["id"]: operation for operation in shown["operations"] if not operation["agrees"]}
    assert differ.keys() == {"apps.list", "apps.update"}
    assert differ["apps.update"]["found"] == "PUT /apps/{slug}"
    assert [app["mended_by_override"] for app in differ["apps.update"]["findings"]] == [True]
    assert differ["apps.list"]["findings"][0]["kind"] == "other-envelope"


def test_a_difference_without_an_override_is_reported(workdir: Workdir) -> None:
    """If octosync.yaml can't correct a difference, no lines to paste are printed."""
    document = own_document()
    schema_in(document, "Apps")["properties"].pop("apps")
    workdir.write("openapi.json", json.dumps(document))
    ran = workdir.octosync("api", "check", "openapi.json")
    assert "No override corrects apps.list: check for a newer version of octosync." in ran.stdout
    assert "octosync.yaml" not in ran.stdout


def test_an_override_that_causes_the_difference_is_named(workdir: Workdir) -> None:
    """If octosync.yaml causes the difference, the hint is to remove the override."""
    workdir.write("openapi.json", json.dumps(own_document()))
    workdir.write("octosync.yaml", "api: {operations: {apps.update: {method: PUT}}}\n")
    ran = workdir.octosync("api", "check", "openapi.json")
    assert ran.code == 1
    assert "Remove `api` from octosync.yaml: it causes the differences." in ran.stdout
    assert json.loads(workdir.octosync("api", "check", "openapi.json", "-o", "json").stdout)["api"] == {}


def test_incomplete_comparisons_are_counted(workdir: Workdir) -> None:
    """A document with few details agrees with everything; the result has the number of incomplete comparisons."""
    document = own_document()
    document["components"]["schemas"] = {}
    workdir.write("openapi.json", json.dumps(document))
    ran = workdir.octosync("api", "check", "openapi.json")
    assert ran.code == 0
    assert "All agree: 28 operations.\n" in ran.stdout
    assert "operations could not be compared in full: see the notes.\n" in ran.stdout


def test_closed_standard_input_is_an_error(workdir: Workdir) -> None:
    """Without standard input, `-` is one clear error."""
    ran = workdir.octosync("api", "check", "-", stdin=None)
    assert ran.code == 1
    assert ran.stderr.startswith("error: spec-unreadable: standard input is not an OpenAPI document")


@pytest.mark.parametrize("source", ["-", "openapi.json"])
def test_a_document_that_is_too_large_is_refused(workdir: Workdir, source: str) -> None:
    """It is refused for its size, and not reported as truncated."""
    data = b'{"openapi": "3.1.0", "x": "' + b"x" * MAX_DOCUMENT_BYTES + b'"}'
    workdir.write("openapi.json", data)
    ran = workdir.octosync("api", "check", source, stdin=data)
    assert ran.code == 1
    assert ran.stderr.startswith("error: spec-too-large: ")


def test_a_hostile_document_reaches_no_terminal(workdir: Workdir) -> None:
    """Control characters of the document are shown as escapes."""
    document = own_document()
    document["info"]["title"] = "\x1b[2Jgone"
    move(document, "apps.health", path="/api/v1/apps/{slug}/\x1b]0;x\x07")
    document["servers"] = [{"url": "/\x1b[31m"}]
    workdir.write("openapi.json", json.dumps(document))
    ran = workdir.octosync("api", "check", "openapi.json")
    assert ran.code == 1
    assert "\x1b" not in ran.output
    assert "\\x1b[2Jgone" in ran.stdout


@contextmanager
def _web(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Serve one response; yield the origin of the server, and the path and headers of each request."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def test_the_api_key_is_never_sent_for_a_document(workdir: Workdir) -> None:
    """A document is fetched without a credential, for any key in the environment or octosync.yaml."""
    workdir.environment |= {"OCTOMIL_API_KEY": KEY, "OCTOMIL_PRODUCTION_KEY": KEY, "OCTOMIL_ORG_ID": "org-1"}
    with _web(200, json.dumps(own_document()).encode()) as (url, seen):
        context = f"contexts: {{p: {{url: '{url}', tokenEnv: OCTOMIL_PRODUCTION_KEY}}}}\ndefaultContext: p\n"
        workdir.write("octosync.yaml", context)
        ran = workdir.octosync("api", "check", f"{url}/docs/openapi.json?v=2")
    assert ran.code == 0
    ((path, headers),) = seen
    assert path == "/docs/openapi.json?v=2"
    assert "authorization" not in {name.lower() for name in headers}
    assert KEY not in f"{path}{headers}"


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (301, b"", {"Location": "https://elsewhere.example/openapi.json"}, "redirects elsewhere (301)"),
        (401, b"", {}, "requires a login (401)"),
        (404, b"", {}, "doesn't exist (404)"),
        (500, b"", {}, "can't be fetched (500)"),
        (200, b"<html><body>docs</body></html>", {}, "is a web page, not an OpenAPI document"),
        (200, b"{}", {}, "has no field `openapi`"),
        (200, b"{}", {"Content-Length": "100"}, "was lost before the response was complete"),
    ],
)
def test_a_response_that_is_not_a_document_is_an_error(
    workdir: Workdir, status: int, body: bytes, headers: dict[str, str], words: str
) -> None:
    """A redirect, a refusal, a page: each is an error with a hint, after one request, without the secrets of the URL."""
    with _web(status, body, **headers) as (url, seen):
        ran = workdir.octosync("api", "check", f"{url}/openapi.json?sig=s3cret")
    assert ran.code in {1, 75}
    assert ran.stdout == ""
    assert words in ran.stderr
    assert "s3cret" not in ran.stderr
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ("nowhere.json", 1, "nowhere.json can't be read: No such file"),
        (".", 1, "can't be read: Is a directory"),
        ("", 64, "SPEC is empty"),
        ("http://127.0.0.1:1/openapi.json", 75, "connection refused"),
        ("http://user:pw@127.0.0.1/openapi.json", 64, "contains a user name or password"),
        ("https://[::1/openapi.json", 64, "the document's URL is invalid"),
        ("http:///openapi.json", 1, "is not the URL"),
    ],
)
def test_a_missing_spec_is_an_error(workdir: Workdir, spec: str, code: int, words: str) -> None:
    """A wrong name, an empty variable, a host that doesn't respond: one error each, with what SPEC can be."""
    ran = workdir.octosync("api", "check", spec)
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr
    assert "pw" not in ran.stderr


def test_a_control_plane_is_probed(project: Project) -> None:
    """The read operations of a running control plane are confirmed with the key, by GETs that are counted and shown."""
    project.declare()
    assert project.apply().code == 0
    project.log()
    ran = project.workdir.octosync("api", "probe", "--url", project.url)
    log = project.log()
    assert (ran.code, ran.stderr) == (0, "")
    assert "· app search" in ran.stdout
    assert "10 GETs: 10 confirmed, 6 not tried." in ran.stdout
    assert len(log) == 10
    assert all(line.startswith("GET ") for line in log)


def test_a_renamed_control_plane_is_reported_with_overrides(project: Project) -> None:
    """Moved, absent or different operations are exit 1, and the printed overrides have the paths that were found."""
    project.declare()
    assert project.apply().code == 0
    rename(
        project.plane.running,
        paths={"/inference-config": "/inference_config"},
        answers={"/targets": fields(identifier="\x1b[2Jbundle")},
        statuses={"/deployments": (404, {"detail": "Not Found"}), "/routing/stats": (403, {"detail": "no"})},
    )
    ran = project.workdir.octosync("api", "probe", "search", "--url", project.url)
    assert ran.code == 1
    assert "\x1b" not in ran.output
    assert "it has \\x1b[2Jbundle" in ran.stdout
    assert '    apps.get_inference_config: {path: "/apps/{slug}/inference_config"}' in ran.stdout
    assert '    apps.deployments: {path: "/apps/{slug}/…"}   # the path on your control plane' in ran.stdout
    document = json.loads(project.workdir.octosync("api", "probe", "search", "--url", project.url, "-o", "json").stdout)
    assert (document["format_version"], document["good"], document["requests"]) == ("1.0", False, 10)
    assert document["incomplete"] == ["apps.deployments"]
    differing = {
        operation["id"]: operation["verdict"]
        for operation in document["operations"]
        if operation["verdict"] not in GOOD
    }
    assert differing == {
        "apps.get_inference_config": "differs",
        "apps.list_targets": "differs",
        "apps.deployments": "absent",
        "apps.routing_stats": "refused",
    }


GOOD = ("confirmed", "not-tried")


def test_if_nothing_is_found_the_url_is_suspected(project: Project) -> None:
    """A wrong path in the URL makes every operation absent; the hint is about the URL, not about each operation."""
    ran = project.workdir.octosync("api", "probe", "--url", f"{project.url}/api/v2")
    assert ran.code == 1
    assert f"check that {project.url}/api/v2 is the URL of the API" in ran.stdout
    assert "octosync.yaml" not in ran.stdout


@pytest.mark.parametrize("app", ["", "..", " ", "a/b"])
def test_an_invalid_app_is_refused(project: Project, app: str) -> None:
    """An empty variable or a path would name something else: nothing is sent."""
    ran = project.workdir.octosync("api", "probe", app, "--url", project.url)
    assert ran.code == 64
    assert project.log() == []
