"""No secret is a value in octosync.yaml, and none that stands there anyway is shown."""

from __future__ import annotations

from typing import Final

from octosync.manifest.findings import Reporter
from octosync.manifest.load.variables import names_a_secret
from octosync.manifest.schema.validate import closest
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, join
from octosync.manifest.yaml.source import Source
from octosync.model import Origin, Sensitivity

_SECRETS: Final = Sensitivity()
# Keys of octosync.yaml that have a secret's letters and hold none.
_NO_SECRETS = frozenset({"tokenEnv", "tokenFile", "secretEnv", "sensitiveKeys"})
_SENT = "name the environment variable with tokenEnv, or the file with tokenFile"
_SIGNED = "name the environment variable with secretEnv"


def refuse_secrets(node: Node, reporter: Reporter, path: str = "") -> None:
    """Report every literal under a key that names a secret. An unknown key is no better place for it than a known one."""
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            refuse_secrets(item, reporter, join(path, index))
    if not isinstance(node, Mapping):
        return
    for key, (key_node, value) in node.entries.items():
        below = join(path, key)
        if key in _NO_SECRETS or not (_SECRETS.covers(key) or names_a_secret(key)):
            refuse_secrets(value, reporter, below)
        elif isinstance(value, Scalar) and isinstance(value.value, str | int | float):
            reporter.report(
                "secret-in-configuration",
                key_node,
                f"{reporter.quote(key, key_node)}: a secret is never a value in octosync.yaml",
                path=below,
                suggestion=closest(key, ("tokenEnv", "tokenFile", "secretEnv")),
                notes=(_SIGNED if path.startswith("notify") else _SENT,),
            )
        else:
            refuse_secrets(value, reporter, below)


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


def is_hidden(origin: Origin | None, source: Source) -> bool:
    """Say whether a line may not be shown, though it was when something was found there."""
    return origin is not None and source.hides_on(origin.line)
