"""The HTTP side of the controller: health, metrics, JSON, the status page, and the actions of people who have the token.

What may not live here: decisions. It shows a `ControllerStatus`, and passes requests on to the `ControllerApi`. A GET changes
nothing; a POST needs the token in a header, or a session and a form of the page, so no other site can make a browser send one.
Everything shown is escaped.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.watch.web.app import WebOptions, create_app
    from octosync.watch.web.document import watch_schema
    from octosync.watch.web.server import ServerAddress, bind, parse_listen, serve
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "app": "WebOptions create_app",
            "document": "watch_schema",
            "server": "ServerAddress bind parse_listen serve",
        },
    )
