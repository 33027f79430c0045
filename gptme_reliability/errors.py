"""The exceptions of this package.

::

    ReliabilityError
    ├── ConfigError            a config key or value is wrong
    ├── ContractError          a model is not to be sampled on a guess
    ├── RequestRefused         a server does not take a request
    └── InputError             a file or row given by the user cannot be used
        ├── ToolDefinitionError    a tool definition is no tool definition
        ├── EncodingError          a call cannot be written in a dialect
        └── CardError              a file of sampling cards is none

Each carries one line that says what is wrong, where, and what to do.
Nothing a *model* writes raises: that is what verdicts are for.
``NothingFound`` is none of them: a tool raises it.
"""

from __future__ import annotations


class ReliabilityError(Exception):
    """Base of all errors of this package."""


class ConfigError(ReliabilityError):
    """A config key or value is wrong."""


class ContractError(ReliabilityError):
    """Nobody says how a model is to be sampled, or what was said may not be."""


class RequestRefused(ReliabilityError):
    """A server does not take a request; ``tools`` says that it takes none with tools.

    Whoever drives an exchange throws it in, with the server's own error as its cause.
    """

    def __init__(self, message: str = "the server refused the request", *, tools: bool) -> None:
        super().__init__(message)
        self.tools = tools


class InputError(ReliabilityError):
    """A file or row given by the user cannot be used."""


class ToolDefinitionError(InputError):
    """A tool definition is no tool definition."""


class EncodingError(InputError):
    """A call cannot be written in a dialect so that it reads back the same."""


class CardError(InputError):
    """A file of sampling cards is none, or says what no card may say."""


class NothingFound(Exception):
    """What a tool raises when it worked, and there is nothing to give: no match, no such entry.

    The model reads its message as a plain result; it does not count as a failure.
    """
