"""The embedded control plane: a persistent simulation of Octomil's apps API, on FastAPI and SQLite.

It serves the demo, tests, offline work and benchmarks; octosync never uses it unless asked to. Its routes are built from the
table of `contract`, which it shares with the client; nothing here may import the client (`octomil`).
"""

from octosync.server.app import DEMO_TOKENS, create_app
from octosync.server.serve import RunningServer, running_server, serve
from octosync.server.settings import ServerSettings, Token

__all__ = ["DEMO_TOKENS", "RunningServer", "ServerSettings", "Token", "create_app", "running_server", "serve"]
