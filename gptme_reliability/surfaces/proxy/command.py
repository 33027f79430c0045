"""``gptme-reliability proxy``."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.proxy.variables import KEY, UPSTREAM_KEY, without_effect

if TYPE_CHECKING:
    from gptme_reliability.surfaces.proxy.options import Options

_LOG: Final = logging.getLogger(__name__)
_MOST_WORKERS: Final = 64

_DESCRIPTION: Final = """\
Stands between any client of OpenAI's or Anthropic's API and a server. Requests with tools are
checked, repaired and asked for again; everything else goes through untouched. A client of
Anthropic's API may also stand before a server that only speaks OpenAI's.
"""

_EPILOG: Final = f"""\
example:
  gptme-reliability proxy --upstream http://127.0.0.1:11434/v1
  OPENAI_BASE_URL=http://127.0.0.1:8484/v1 your-client
  ANTHROPIC_BASE_URL=http://127.0.0.1:8484 your-other-client

The keys are better given as {KEY} and
{UPSTREAM_KEY}: a command line can be read by others.
FILE.toml holds the settings of the gptme plugin under [reliability] and
[reliability.models."<glob>"]; globs match the model's name as the client sends it.
--set takes the same keys: --set 'models."qwen*".contracts=false'.
Where the server is near, a model that no sampling card describes gets 422 and the ways out,
unless the client sends a temperature or the server declares one.

/healthz tells that the proxy runs and whether the upstream answers, /metrics counts what was
done. Ctrl-C, SIGTERM and SIGHUP finish open requests first, for up to 30 seconds.

exit codes:
  1    the workers of --workers keep ending
  2    an option or the settings are wrong; one line on standard error says what
  130  interrupted (SIGTERM and SIGHUP: 143)
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
    add(
        "--upstream-api",
        choices=("openai", "anthropic"),
        default="openai",
        help="the API that the server speaks (default: openai)",
    )
    add("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=8484, help="the port to listen on (default: 8484)")
    add("--api-key", metavar="KEY", help="callers need it; required when --host is not local")
    add("--keys-file", metavar="FILE", help="keys for callers, one a line; any of them will do")
    add("--upstream-key", metavar="KEY", help="sent to the server in place of callers' keys")
    add("--config", metavar="FILE.toml", help="settings, in general and for single models")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting that counts before the file's, such as retries=1",
    )
    add(
        "--contracts",
        choices=("off", "tools", "all"),
        default="tools",
        help="which chat completions go out as the sampling card of their model says, where the"
        " server is near: none, those with tools (default), or all",
    )
    add(
        "--client-sampling",
        choices=("counts", "ignored"),
        default="counts",
        help="whether the temperature and the like that clients send count before the card's"
        " (default) or not at all: some clients send 0 for every model",
    )
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
    add("--workers", metavar="N", type=int, default=1, help="processes to serve with (default: 1)")
    add("--trace", metavar="FILE", help="write a JSON line on each request, without contents")
    add("--log", choices=("text", "json"), default="text", help="the form of lines on stderr")
    add("--quiet", action="store_true", help="no line for each request")
    proxy.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.surfaces.proxy.keys_file import read_keys
    from gptme_reliability.surfaces.proxy.options import Options

    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"--port {arguments.port} is no port")
    if not 0 < arguments.timeout < math.inf:
        raise ConfigError("--timeout must be more than 0 seconds")
    if not 1 <= arguments.workers <= _MOST_WORKERS:
        raise ConfigError(f"--workers must be 1 to {_MOST_WORKERS}")
    options = Options(
        upstream=arguments.upstream,
        host=arguments.host,
        port=arguments.port,
        api_key=arguments.api_key or os.environ.get(KEY) or None,
        keys=read_keys(arguments.keys_file) if arguments.keys_file else (),
        upstream_key=arguments.upstream_key or os.environ.get(UPSTREAM_KEY) or None,
        config=arguments.config,
        sets=tuple(arguments.set),
        observe=arguments.observe,
        contracts=arguments.contracts,
        client_sampling=arguments.client_sampling,
        trace=arguments.trace,
        upstream_api=arguments.upstream_api,
        allow_hosts=tuple(arguments.allow_host),
        allow_origins=tuple(arguments.allow_origin),
        timeout=arguments.timeout,
    )
    return _serve(options, arguments)


def _serve(options: Options, arguments: argparse.Namespace) -> int:
    try:
        from gptme_reliability.surfaces import tracing
        from gptme_reliability.surfaces.proxy import server
        from gptme_reliability.surfaces.proxy.logs import Logs
        from gptme_reliability.surfaces.proxy.options import ModelSettings
        from gptme_reliability.surfaces.proxy.process import settle
        from gptme_reliability.surfaces.proxy.workers import Workers
    except ImportError as error:
        raise ConfigError(
            f"the proxy needs {error.name}: pip install 'gptme-reliability[proxy]'"
        ) from None
    # What is wrong is said before it listens.
    ModelSettings(options.config, sets=options.sets)
    if options.trace:
        try:
            tracing.begin(Path(options.trace))
        except OSError as error:
            told = f"--trace {options.trace}: cannot be written ({error.strerror})"
            raise ConfigError(told) from None
    logs = Logs(arguments.log, arguments.quiet)
    logs.begin()
    settle()
    listening = server.listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    place = f"[{host}]" if ":" in host else host
    print(f"http://{place}:{port}/v1 -> {options.upstream}", file=sys.stderr, flush=True)
    if notice := without_effect(os.environ):
        _LOG.warning(notice)
    with listening:
        if arguments.workers == 1:
            server.serve(options, listening)
            return 0
        ended_by = Workers(options, listening, arguments.workers, logs).run()
    if ended_by is None:
        print("gptme-reliability: the workers keep ending", file=sys.stderr)
        return 1
    signal.raise_signal(ended_by)
    return 0
