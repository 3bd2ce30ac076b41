"""A forge with the part of GitHub's API that octosync uses: pull requests, comments, issues and deployments of a repository."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAME = "acme/apps"
TOKEN = "ghs_secret_of_this_job_1234"
BOT = "github-actions[bot]"
LARGEST = 65_536
HEAD, NEXT = "a" * 40, "b" * 40


@dataclass(frozen=True)
class Answer:
    """A response in place of the usual one. With `done`, the request is carried out all the same."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False


def refused(status: int, message: str, **headers: str) -> Answer:
    """Return an error response in GitHub's shape; `Retry_After="0"` becomes the header `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"message": message, "documentation_url": "https://docs.github.com/rest"}, named)


FORBIDDEN = refused(403, "Resource not accessible by integration")


@dataclass
class Forge:
    """The forge: its state, `METHOD path` of its requests, and answers that replace the next matching ones, by pattern."""

    url: str = ""
    login: str | None = None  # of the token; None is an app's token, which may not read its user
    pulls: dict[int, dict[str, Any]] = field(default_factory=lambda: {7: {"number": 7, "head": {"sha": HEAD}}})
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    merged: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    next_answers: list[tuple[str, Answer]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a job of pull request 7."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": NAME,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REF": "refs/pull/7/merge",
        }

    def add_comment(self, body: str, *, author: str = BOT) -> dict[str, Any]:
        """Write a comment on pull request 7."""
        return self._add(self.comments, {"user": {"login": author}, "body": body, "pull": 7})

    def comments_of(self, pull: int) -> list[dict[str, Any]]:
        """Return the comments of a pull request."""
        return [comment for comment in self.comments if comment.get("pull", 7) == pull]

    def add_deployment(self, sha: str, *states: str, environment: str = "octosync-production") -> None:
        """Add a deployment of a revision with these states, oldest first."""
        statuses = [{"state": state} for state in reversed(states)]
        deployment = {"id": len(self.deployments) + 1, "sha": sha, "environment": environment, "statuses": statuses}
        self.deployments.insert(0, deployment)

    def answer_next(self, pattern: str, *answers: Answer) -> None:
        """Return these answers, once each and in order, to requests whose `METHOD path` matches the pattern."""
        self.next_answers += [(pattern, answer) for answer in answers]

    def writes(self) -> list[str]:
        """Return the requests other than reads."""
        return [line for line in self.requests if not line.startswith("GET ")]

    def _add(self, where: list[dict[str, Any]], item: dict[str, Any]) -> dict[str, Any]:
        number = len(where) + 1
        where.append({"id": 1000 + number, "number": number, "html_url": f"https://forge.test/{number}", **item})
        return where[-1]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Carry out a request; return the JSON value of the response, or an `Answer` for an error."""
        for pattern, act in _ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return act(self, body, *found.groups())
        return refused(404, "Not Found")


def _user(forge: Forge, _: Any) -> Any:
    return {"login": forge.login} if forge.login else FORBIDDEN


def _post_comment(forge: Forge, body: dict[str, Any], number: str) -> Any:
    if int(number) not in forge.pulls:
        return refused(404, "Not Found")
    comment = {"user": {"login": forge.login or BOT}, **body, "pull": int(number)}
    return _too_long(body) or forge._add(forge.comments, comment)  # noqa: SLF001


def _patch(items: list[dict[str, Any]], key: str, number: str, body: dict[str, Any]) -> Any:
    found = next((item for item in items if item[key] == int(number)), None)
    if found is None:
        return refused(404, "Not Found")
    refusal = _too_long(body)
    if refusal is None:
        found.update(body)
    return refusal or found


def _too_long(body: dict[str, Any]) -> Answer | None:
    if len(body.get("body", "")) <= LARGEST:
        return None
    return Answer(
        422, {"message": "Validation Failed", "errors": [{"message": "body is too long (maximum is 65536 characters)"}]}
    )


_REPOSITORY = f"/repos/{NAME}"
_ROUTES: tuple[tuple[str, Callable[..., Any]], ...] = (
    (r"GET /user", _user),
    (rf"GET {_REPOSITORY}/pulls/(\d+)", lambda forge, _, n: forge.pulls.get(int(n), refused(404, "Not Found"))),
    (rf"GET {_REPOSITORY}/issues/(\d+)/comments", lambda forge, _, n: forge.comments_of(int(n))),
    (rf"POST {_REPOSITORY}/issues/(\d+)/comments", _post_comment),
    (rf"PATCH {_REPOSITORY}/issues/comments/(\d+)", lambda forge, body, n: _patch(forge.comments, "id", n, body)),
    (
        rf"GET {_REPOSITORY}/issues",
        lambda forge, _: [issue for issue in forge.issues if issue.get("state", "open") == "open"],
    ),
    (
        rf"POST {_REPOSITORY}/issues",
        lambda forge, body: forge._add(forge.issues, {"user": {"login": forge.login or BOT}, **body}),  # noqa: SLF001
    ),
    (rf"PATCH {_REPOSITORY}/issues/(\d+)", lambda forge, body, n: _patch(forge.issues, "number", n, body)),
    (rf"GET {_REPOSITORY}/commits/(\w+)/pulls", lambda forge, _, sha: forge.merged.get(sha, [])),
    (rf"GET {_REPOSITORY}/deployments", lambda forge, _: forge.deployments),
    (
        rf"GET {_REPOSITORY}/deployments/(\d+)/statuses",
        lambda forge, _, n: next(
            deployment["statuses"] for deployment in forge.deployments if deployment["id"] == int(n)
        ),
    ),
)


@contextmanager
def forge_server() -> Iterator[Forge]:
    """Serve a forge on a free port of loopback."""
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # otherwise each response waits 40 ms for an acknowledgement

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {parts.path}"
            forge.requests.append(request)
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._send(refused(401, "Bad credentials"))
                return
            first = next((answer for answer in forge.next_answers if re.search(answer[0], request)), None)
            if first is not None:
                forge.next_answers.remove(first)
                if first[1].done:
                    forge.answer(self.command, parts.path, json.loads(data or b"{}"))
                self._send(first[1])
                return
            answer = forge.answer(self.command, parts.path, json.loads(data or b"{}"))
            if isinstance(answer, list):
                answer = _page(forge, self.path, query, answer)
            status = 201 if self.command == "POST" else 200
            self._send(answer if isinstance(answer, Answer) else Answer(status, answer))

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 — the base class's names

        def _send(self, answer: Answer) -> None:
            if answer.status == 0:  # close the connection without a response
                self.close_connection = True
                return
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("X-GitHub-Request-Id", "ABCD:1234")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # the client may have closed the connection
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    forge.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page(forge: Forge, path: str, query: Mapping[str, str], items: list[dict[str, Any]]) -> Answer:
    """Return the requested page of a list: 30 items by default, at most 100, filtered by `environment` if given."""
    size, number = min(int(query.get("per_page", "30")), 100), int(query.get("page", "1"))
    kept = [item for item in items if query.get("environment") in {None, item.get("environment")}]
    links = {}
    if len(kept) > number * size:
        following = "&".join(f"{name}={value}" for name, value in {**query, "page": number + 1}.items())
        links["Link"] = f'<{forge.url}{urlsplit(path).path}?{following}>; rel="next"'
    return Answer(200, kept[(number - 1) * size : number * size], links)
