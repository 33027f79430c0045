"""``gptme-reliability proxy``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import ConfigError

if TYPE_CHECKING:
    from gptme_reliability.surfaces.proxy.options import Options

_KEY: Final = "GPTME_RELIABILITY_PROXY_KEY"
_TURN_S: Final = 0.0001
_UPSTREAM_KEY: Final = "GPTME_RELIABILITY_UPSTREAM_KEY"

_DESCRIPTION: Final = """\
Stands between any OpenAI client and an OpenAI-compatible server. Chat completions with tools
are checked, repaired and asked for again; everything else goes through untouched.
"""

_EPILOG: Final = f"""\
example:
  gptme-reliability proxy --upstream http://127.0.0.1:11434/v1
  OPENAI_BASE_URL=http://127.0.0.1:8484/v1 your-client

The keys are better given as {_KEY} and
{_UPSTREAM_KEY}: a command line can be read by others.
FILE.toml holds the settings of the gptme plugin under [reliability] and
[reliability.models."<glob>"]; globs match the model's name as the client sends it.

/healthz tells that the proxy runs and whether the upstream answers, /metrics counts what was
done. Ctrl-C and SIGTERM finish open requests first, for up to 30 seconds.

exit codes:
  2    an option or the settings are wrong; one line on standard error says what
  130  interrupted (SIGTERM: 143)
"""


def add_proxy(commands: Any) -> None:
    """Add the command to the command line."""
    proxy = commands.add_parser(
        "proxy",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = proxy.add_argument
    add("--upstream", metavar="URL", required=True, help="the server's base URL, up to its /v1")
    add("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=8484, help="the port to listen on (default: 8484)")
    add("--api-key", metavar="KEY", help="callers need it; required when --host is not local")
    add("--upstream-key", metavar="KEY", help="sent to the server in place of callers' keys")
    add("--config", metavar="FILE.toml", help="settings, in general and for single models")
    add("--observe", action="store_true", help="report what would be done, and change nothing")
    add(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further host name that the proxy goes by; * for any",
    )
    add(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="a page that may call the proxy, besides those of this machine",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="how long the server may be silent (default: 600)",
    )
    add("--quiet", action="store_true", help="no line for each request")
    proxy.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.surfaces.proxy.options import Options

    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"--port {arguments.port} is no port")
    if not arguments.timeout > 0:
        raise ConfigError("--timeout must be more than 0 seconds")
    options = Options(
        upstream=arguments.upstream,
        host=arguments.host,
        port=arguments.port,
        api_key=arguments.api_key or os.environ.get(_KEY) or None,
        upstream_key=arguments.upstream_key or os.environ.get(_UPSTREAM_KEY) or None,
        config=arguments.config,
        observe=arguments.observe,
        allow_hosts=tuple(arguments.allow_host),
        allow_origins=tuple(arguments.allow_origin),
        timeout=arguments.timeout,
    )
    level = logging.WARNING if arguments.quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("gptme_reliability").setLevel(level)
    return _serve(options)


def _serve(options: Options) -> int:
    try:
        from gptme_reliability.surfaces.proxy import server, warming
    except ImportError as error:
        raise ConfigError(
            f"the proxy needs {error.name}: pip install 'gptme-reliability[proxy]'"
        ) from None
    running = server.make(options)
    warming.warm_up()
    listening = server.listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    place = f"[{host}]" if ":" in host else host
    print(f"http://{place}:{port}/v1 -> {options.upstream}", file=sys.stderr, flush=True)
    # Whoever waits for one of the other thread's turns to end must not wait long.
    sys.setswitchinterval(_TURN_S)
    with listening:
        running.run(sockets=[listening])
    return 0
