"""Log lines on standard error: text or JSON, every one without secrets."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from types import TracebackType

from renewal_watch.text import REDACTOR

_LEVELS = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}  # of syslog


class _Text(logging.Formatter):
    """``<6>`` for the journal, which has its own clock; a time stamp elsewhere."""

    converter = time.gmtime  # type: ignore[assignment]  # as the documentation of logging says to

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"<{_LEVELS.get(record.levelno, 6)}>{line}" if self._journal else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            said["traceback"] = record.exc_text
        return json.dumps(said, ensure_ascii=False)


def set_up(*, verbose: bool, form: str, speaks: bool = False) -> None:
    """One handler for the process; only the daemon (``speaks``) logs what goes well.

    Libraries are heard from warnings on: their debug lines hold addresses and tokens.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(REDACTOR)
    handler.setFormatter(_Json() if form == "json" else _Text(journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("renewal_watch").setLevel(logging.DEBUG if verbose else logging.INFO if speaks else logging.ERROR)
    logging.captureWarnings(capture=True)

    def last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """A fault of our own: the traceback goes through the redactor like every line."""
        logging.getLogger("renewal_watch").critical("a fault of renewal-watch", exc_info=(kind, error, trace))

    sys.excepthook = last_words
