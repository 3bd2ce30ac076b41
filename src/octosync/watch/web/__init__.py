"""The HTTP side of the controller: health, metrics, JSON, the status page, and the POSTs of a person who has the token.

What may not live here: decisions. It shows a `ControllerStatus`, and passes requests on to the `ControllerApi`. A GET changes
nothing; a POST needs the token in a header, so no other site can make a browser send one. Everything shown is escaped.
"""

from octosync.watch.web.app import WebOptions, create_app
from octosync.watch.web.document import watch_schema
from octosync.watch.web.server import ServerAddress, bind, parse_listen, serve

__all__ = ["ServerAddress", "WebOptions", "bind", "create_app", "parse_listen", "serve", "watch_schema"]
