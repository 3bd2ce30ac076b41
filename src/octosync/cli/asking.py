"""The options of plan and apply, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octosync.cli.basing import BaseFlags
from octosync.cli.connecting import RemoteFlags
from octosync.cli.gathering import ManifestFlags
from octosync.cli.options import (
    base_options,
    colour_option,
    deploy_options,
    guard_options,
    manifest_options,
    max_bytes_option,
    option,
    remote_options,
    selection_options,
    stacked,
)
from octosync.cli.turning import Asked, GuardFlags

plan_and_apply_options = stacked(
    manifest_options,
    selection_options,
    remote_options,
    deploy_options,
    base_options,
    guard_options,
    option("--full", is_flag=True, help="Show everything: unchanged objects, long values, all addresses."),
    colour_option,
    max_bytes_option,
)


def asked_from(flags: Mapping[str, Any], *, reviews: bool) -> Asked:
    """Sort the options' values into what they are about. `reviews`: whether the base's octosync.yaml judges."""

    def part(kind: type[Any]) -> dict[str, Any]:
        return {name: flags[name] for name in kind.__dataclass_fields__ if name in flags}

    return Asked(
        manifests=ManifestFlags(**part(ManifestFlags)),
        remote=RemoteFlags(**part(RemoteFlags)),
        base=BaseFlags(**part(BaseFlags), reviews=reviews),
        guards=GuardFlags(**part(GuardFlags)),
        apps=flags["apps"],
        selector=flags["selector"],
        colour=flags["colour"],
        full=flags["full"],
        max_bytes=flags["max_bytes"],
        optimize=flags["optimize"],
        previews=not flags["no_preview"],
        retry_rolled_back=flags["retry_rolled_back"],
    )
