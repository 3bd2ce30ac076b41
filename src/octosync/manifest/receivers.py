"""Reading `notify` of octosync.yaml: one URL each, which is shown nowhere, since for many receivers it is all one needs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from octosync.manifest.findings import Reporter
from octosync.manifest.nodes import Mapping, Node, Scalar, Sequence
from octosync.manifest.walk import Fields
from octosync.model import NotifyEvent, Receiver, Secret

_NOTE: Final = "a URL that is itself a secret goes by urlEnv, the name of the environment variable that holds it"


def hide_receivers(root: Node, reporter: Reporter) -> None:
    """Keep the URLs under `notify` out of every excerpt and message, whatever else is wrong there."""
    for notify in _values(root, "notify"):
        for item in notify.items if isinstance(notify, Sequence) else ():
            for url in _values(item, "url"):
                if isinstance(url, Scalar):
                    reporter.source.hide((url.line, url.column), (url.line, url.column + url.width))


def _values(node: Node, key: str) -> list[Node]:
    """Return what stands under a key, each time where it stands there more than once."""
    if not isinstance(node, Mapping):
        return []
    return [value for at, value in (*node.entries.values(), *node.repeated) if at.value == key]


def read_receiver(fields: Fields, reporter: Reporter) -> Receiver:
    """Turn one checked record into a receiver; what is wrong is reported and left out."""
    url, url_env = fields.text("url"), fields.text("urlEnv")
    if ("url" in fields.node.entries) == ("urlEnv" in fields.node.entries):
        at = fields.key_at("urlEnv")  # the record itself, where there is none
        place = at if isinstance(at, Scalar) else Scalar(None, at.line, at.column, 1)
        reporter.report("receiver-url", place, "a receiver has one URL: `url` or `urlEnv`", path=fields.path)
    if url is not None and not is_receiver_url(url):
        at_url, summary = fields.at("url"), "this is no http:// or https:// URL of a receiver"
        notes = ("it carries neither user, password nor fragment; " + _NOTE,)
        reporter.report("invalid-url", at_url, summary, path=fields.below("url"), notes=notes)
        url = None
    return Receiver(
        url=None if url is None else Secret(url),
        url_env=url_env,
        events=tuple(map(NotifyEvent, fields.texts("events"))) if "events" in fields else tuple(NotifyEvent),
        secret_env=fields.text("secretEnv"),
        origin=reporter.source.origin(fields.node.line, fields.node.column),
    )


def is_receiver_url(url: str) -> bool:
    """Say whether something can be POSTed to a URL as it stands."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    sound = (
        parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
    )
    return sound and not re.search(r"[^!-~]", url)
