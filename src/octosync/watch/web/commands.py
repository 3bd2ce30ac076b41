"""Commands and lines that get a person out of something, exactly as to be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from octosync.model import ELLIPSIS, Address
from octosync.plan import RunInfo

TOKEN_VARIABLE: Final = "OCTOSYNC_ADMIN_TOKEN"  # noqa: S105 — its name
SUSPENDING: Final = 'octosync.dev/suspend: "true"'
_ADDRESSES: Final = 3  # in the command line, before the rest is an ellipsis
_STDIN: Final = "-"
HOST: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?"
)  # a Host header; an IPv6 one in brackets


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: what it comes to, and the command or line that takes it; `is_typed` False: a sentence, nothing to type."""

    label: str
    line: str
    is_typed: bool = True


def origin_of(scheme: str, host: str) -> str:
    """Return where the page was asked for, for commands; "" for a host that is none."""
    return f"{scheme}://{host}" if HOST.fullmatch(host) else ""


def post_line(origin: str, path: str, **parameters: str) -> str:
    """Return the command that sends a POST; the token is named, never shown."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    url = shlex.quote(f"{origin}{path}{query}")
    return f'curl -X POST -H "Authorization: Bearer ${TOKEN_VARIABLE}" {url}'


def accept_line(addresses: Sequence[Address], about: RunInfo | None) -> str | None:
    """Return the command that takes what is live into the manifests; None where these are not files that it can write."""
    paths = () if about is None else about.invocation.paths
    if _STDIN in paths or (about is not None and about.invocation.kustomize is not None):
        return None
    named = shlex.join(map(str, addresses[:_ADDRESSES]))
    more = [ELLIPSIS] if len(addresses) > _ADDRESSES else []
    # An absolute path is this machine's; whoever takes it into Git does so in a clone.
    here = [part for path in paths if not path.startswith("/") for part in ("-f", path)]
    rest = [*here, *(() if about is None else about.typed_to_look)]
    return " ".join(("octosync accept", named, *more, *([shlex.join(rest)] if rest else [])))
