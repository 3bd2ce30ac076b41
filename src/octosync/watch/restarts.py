"""What octosync.yaml says that a controller goes by from its start to its end: a change of that needs a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octosync.watch.manifests.desired import ManifestLoad


def _fixed(declared: ManifestLoad) -> Mapping[str, object]:
    configuration, context = declared.configuration, declared.context
    return {
        "rate": configuration.rate,
        "api": configuration.contract,
        "sensitive": configuration.sensitivity,
        "notify": configuration.notify,
        "the context's key": None if context is None else (context.token_env, context.token_file),
    }


@dataclass(slots=True)
class RestartSettings:
    """Compares every load with the first one."""

    _first: Mapping[str, object] = field(default_factory=dict)
    _said: tuple[str, ...] = ()

    def news(self, declared: ManifestLoad) -> tuple[str, ...]:
        """Name what a load says otherwise than the first, and that needs a restart; empty where that was said already."""
        now = _fixed(declared)
        self._first = self._first or now
        needing = tuple(name for name, value in now.items() if value != self._first[name])
        is_news = bool(set(needing) - set(self._said))
        self._said = needing
        return needing if is_news else ()
