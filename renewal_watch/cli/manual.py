"""The manual page, made of what the commands say about themselves, in the macros of man(7)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import click

from renewal_watch import __version__
from renewal_watch.cli import contents
from renewal_watch.config.loading import DEFAULT_PATH

EXIT_STATUS = {
    "0": "Done.",
    "1": "Something failed that may work later: the provider, a channel, the database.",
    "2": "The command was called wrongly.",
    "78": "The configuration is wrong. Every fault is named at once.",
    "0 to 3": "Of `check`: OK, WARNING, CRITICAL, UNKNOWN.",
}
_FILES = {
    str(DEFAULT_PATH): "The configuration, unless `--config` or the environment names another.",
    "/var/lib/renewal-watch/renewal-watch.db": "The database of the service, for its own user only.",
    "~/.local/state/renewal-watch/renewal-watch.db": "The database, where the configuration has no state_dir.",
    "/etc/credstore/*": "Secrets that the configuration names as credentials.",
}
_ENVIRONMENT = {
    "RENEWAL_WATCH_CONFIG": "The configuration file, where `--config` is not given.",
    "CONFIGURATION_DIRECTORY, STATE_DIRECTORY, CREDENTIALS_DIRECTORY": (
        "Where a systemd unit has config.toml, the database and its credentials."
    ),
    "NOTIFY_SOCKET, WATCHDOG_USEC": "By which systemd is told that the daemon is ready and alive.",
    "SUDO_USER": "Who acts, where `--author` is not given.",
    "NO_COLOR": "If not empty, nothing is painted; nor is it with TERM=dumb, or where no terminal reads.",
    "COLUMNS": "How wide help is printed.",
}
_NOTES = (
    "A NUMBER is a phone number, the provider's id of it, or a part of either that only one has.",
    (
        "With `--json`, standard output is one JSON document. A command that shows something prints what it shows; one that "
        "does something prints an object with ok, which is true when the exit status is 0, and errors, a list of "
        "sentences, besides what it did. A command that fails prints ok and errors only. Errors stand on standard error as "
        "well. Times are in UTC as 2026-11-23T10:00:00Z, money is text."
    ),
)
_EXAMPLES = {
    "What renews within a week, as a list for another program:": (
        "renewal-watch status --within 7 --json | jq -r '.numbers[].number'"
    ),
    "Hide all alerts about a test environment over a weekend:": (
        "renewal-watch silence add --environment test --for 2d --comment 'load test'"
    ),
    "Poll from cron, and hear only of failures:": "renewal-watch poll >/dev/null",
}


def page(group: click.Group) -> str:
    """The manual page of ``group`` and all its commands."""
    lines = [
        f'.TH RENEWAL\\-WATCH 1 "" "renewal\\-watch {__version__}" "renewal\\-watch"',
        ".nh",  # a command that is broken at a hyphen cannot be copied
        ".SH NAME",
        *_lines(f"renewal-watch - {contents.PURPOSE[0].lower()}{contents.PURPOSE[1:].rstrip('.')}"),
        ".SH SYNOPSIS",
        r".B renewal\-watch",
        r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]...",
        ".SH DESCRIPTION",
        *_lines(contents.PURPOSE),
        *(line for note in _NOTES for line in (".PP", *_lines(note))),
        ".SH OPTIONS",
    ]
    context = click.Context(group, info_name="renewal-watch", **group.context_settings)
    lines += _options(group, context)
    for title, entries in contents.SECTIONS.items():
        lines.append(f'.SH "COMMANDS: {title.upper()}"')
        for name in entries:
            command = group.get_command(context, name)
            assert command is not None  # noqa: S101 (contents names what there is)
            lines += _command(command, context, name)
    for title, rows in (("EXIT STATUS", EXIT_STATUS), ("FILES", _FILES), ("ENVIRONMENT", _ENVIRONMENT)):
        lines.append(f'.SH "{title}"')
        for term, text in rows.items():
            lines += [".TP", rf"\fB{_escaped(term)}\fR", *_lines(text)]
    lines.append(".SH EXAMPLES")
    for about, example in _EXAMPLES.items():
        lines += [*_lines(about), ".PP", ".RS 4", ".EX", _escaped(example), ".EE", ".RE", ".PP"]
    lines.pop()
    lines += [".SH SEE ALSO", r".BR systemctl (1),", r".BR journalctl (1),", r".BR crontab (5)"]
    return "\n".join(lines)


def _command(command: click.Command, above: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above, **command.context_settings)
    pieces = " ".join(command.collect_usage_pieces(context))
    called = " ".join(context.command_path.split()[1:])
    yield f'.SS "{_escaped(called)} {_escaped(pieces)}"'
    first, *others = (command.help or "").split("\n\n")
    yield from _lines(first)
    for text in others:
        yield from (".PP", *_lines(text))
    yield from _options(command, context)
    for child, inner in getattr(command, "commands", {}).items():
        yield from _command(inner, context, child)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record and not (context.parent and "--help" in parameter.opts):
            yield from (".TP", rf"\fB{_escaped(record[0])}\fR", *_lines(record[1]))


def _escaped(text: str) -> str:
    """The text as roff prints it unchanged: hyphens that can be copied, no line that is taken for a request."""
    text = (
        text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("'", r"\(aq").replace("`", r"\(ga")
    )
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)


def _lines(text: str) -> list[str]:
    """Sentences as short lines, with what stands in backquotes in bold."""
    marked = re.sub(r"`(.+?)`", lambda found: "\0" + found[1].replace(" ", "\1") + "\2", " ".join(text.split()))
    lines = textwrap.wrap(_escaped(marked), 78, break_long_words=False, break_on_hyphens=False)
    bold = str.maketrans({"\0": r"\fB", "\1": " ", "\2": r"\fR"})
    return [(rf"\&{line}" if line.startswith(".") else line).translate(bold) for line in lines]
