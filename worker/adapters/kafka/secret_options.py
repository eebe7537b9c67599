"""Keeps the secrets among the options that pass through to librdkafka out of what it says.

librdkafka quotes some of them: an option that it cannot parse, the address at which it asks for tokens. Its own log
redacts what it knows to be sensitive in its configuration alone.

Invariant: whatever text of librdkafka leaves this package for a person went through `hide_secrets`.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "(hidden)"
_SECRET_NAME: Final = re.compile(
    r"password|passphrase|secret|key\.pem$|private\.key|oauthbearer\.config$|kinit\.cmd$", re.IGNORECASE
)
# An address may hold a password before its host, or a key in its query.
_SECRET_ADDRESS: Final = re.compile(r"//[^/]*@|\?")
_REFUSED_VALUE: Final = re.compile(r'Invalid value ".*" for', re.DOTALL)
_DOUBTFUL_VALUE: Final = re.compile(r"set to `.*?` but", re.DOTALL)


def hide_secrets(text: str, options: Mapping[str, Any]) -> str:
    """Return a text without the values of those options that are secret, and without those that librdkafka refuses.

    A value that is refused may be a secret that was meant for another option.
    """
    for name, value in options.items():
        if isinstance(value, str) and value and _is_secret(name, value):
            text = text.replace(value, HIDDEN)
    return _DOUBTFUL_VALUE.sub("set, but", _REFUSED_VALUE.sub("Invalid value for", text))


def _is_secret(name: str, value: str) -> bool:
    is_address = name.endswith(".url") and _SECRET_ADDRESS.search(value)
    return bool(_SECRET_NAME.search(name) or is_address)


class RedactingLogger:
    """What librdkafka logs to: passes each line on without the options' secrets."""

    def __init__(self, logger: logging.Logger, options: Mapping[str, Any]) -> None:
        self._logger = logger
        self._options = options

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Log a line, as `logging.Logger` does."""
        self._logger.log(level, message, *(hide_secrets(str(each), self._options) for each in arguments))
