"""Who calls, and what the key may do: Bearer keys with scopes, and the org that is asked for.

Without configured tokens everybody may do everything, which is why `serve` then stays on loopback; the demo's keys
are known all the same, so that the feed has names. Previews and checks
are reads: `apps:read` is enough for them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from octosync.contract import OPERATIONS, Access, ErrorCode
from octosync.server.errors import ApiError
from octosync.server.handlers.handler import ANONYMOUS, Actor
from octosync.server.plane import Plane
from octosync.server.settings import READ_SCOPE, WRITE_SCOPE, Settings, Token


def key_of(plane: Plane, authorization: str | None) -> Token | None:
    """Find the caller's key; None where the server has no tokens and the caller none that it knows. Raises 401."""
    scheme, _, secret = (authorization or "").partition(" ")
    offered = secret.strip().encode("utf-8", "surrogateescape")
    found: Token | None = None
    for token in plane.keys:  # all of them, so that the time taken tells nothing
        if hmac.compare_digest(token.secret.encode(), offered):
            found = token
    if scheme.lower() == "bearer" and found is not None:
        return found
    if plane.settings.tokens:
        message = "The API key is wrong or revoked" if offered else "An API key is needed: Authorization: Bearer <key>"
        raise ApiError(401, ErrorCode.INVALID_API_KEY, message, headers={"WWW-Authenticate": "Bearer"})
    return None


def authorise(settings: Settings, key: Token | None, operation: str, query: Mapping[str, str]) -> Actor:
    """Check the key's scopes and the org. Raises 403 `insufficient_scope` or `missing_org_context`."""
    if key is not None:
        needed = READ_SCOPE if OPERATIONS[operation].access is Access.READ else WRITE_SCOPE
        if needed not in key.scopes:
            raise ApiError(
                403,
                ErrorCode.INSUFFICIENT_SCOPE,
                f"The key lacks the scope {needed}",
                details={"required_scope": needed, "scopes": sorted(key.scopes)},
            )
    if query.get("org_id", settings.org_id) != settings.org_id:
        raise ApiError(403, ErrorCode.MISSING_ORG_CONTEXT, "The key belongs to another org than org_id names")
    return ANONYMOUS if key is None else Actor("api_key", key.name, key.name)
