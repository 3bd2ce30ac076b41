"""The embedded control plane: a faithful, persistent stand-in for Octomil's apps API, on FastAPI and SQLite.

For the demo, for tests, for writing manifests offline and for measuring. It is never chosen silently. The server meets
the client only in `contract`; its routes are built from that table.
"""

from octosync.server.app import DEMO_TOKENS, create_app
from octosync.server.serve import RunningServer, running_server, serve
from octosync.server.settings import ServerSettings, Token

__all__ = ["DEMO_TOKENS", "RunningServer", "ServerSettings", "Token", "create_app", "running_server", "serve"]
