"""What there is: every command, where it is written and what it does in a sentence, as `renewal-watch --help` shows it.

It stands apart from the commands so that the overview needs none of them, nor click, to be shown: that takes a third
of the time. `tests/test_docs.py` holds the sentences to the commands' own help texts.
"""

from __future__ import annotations

from typing import NamedTuple

PURPOSE = "Watches rented phone numbers and tells people before one renews, fails to renew or is lost."
OPTIONS = {
    "--config PATH": "The configuration file.",
    "--verbose": "Say more on standard error.",
    "--log-format [text|json]": "The form of log lines. [default: text]",
    "--version": "Show the version and exit.",
    "-h, --help": "Show this message and exit.",
}


class Entry(NamedTuple):
    """One command: the module of this package that holds it, and the first sentence of its help."""

    module: str
    line: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "Watch": {
        "run": Entry("watching", "Run the daemon: poll on schedule, tell at once."),
        "poll": Entry("watching", "Poll every environment once, now, then send everything that is due."),
        "send": Entry("watching", "Send what is due, without polling."),
        "web": Entry(
            "serving", "Serve the pages and what other programs read: fleet, calendar, alerts, health, metrics."
        ),
        "canary": Entry(
            "watching", "Send the simulated number of [canary] now, the whole way from a poll to its channel."
        ),
    },
    "Ask": {
        "status": Entry("status", "Show how the service does, open incidents, and the fleet, most urgent first."),
        "incidents": Entry(
            "incidents", "What needs somebody now: one row an incident, most urgent first, with who acknowledged it."
        ),
        "explain": Entry("asking", "Why NUMBER did or did not alert, and what comes next and when."),
        "history": Entry("asking", "Every change of one NUMBER and when it was seen."),
        "snapshot": Entry("asking", "Give back the list as it was known at a time, unknown fields included."),
        "changes": Entry(
            "changes",
            "What changed since yesterday, or between two times: gone, status, price, renewed, added and more.",
        ),
        "alerts": Entry("asking", "What was found, and the fate of each delivery, newest first."),
        "audit": Entry("audit", "Who did what, when and from where, and of what whom was notified, newest first."),
        "preview": Entry("asking", "Show who would be told what and when over the coming days, with today's fleet."),
        "mcp": Entry("serving", "Answer an assistant on standard input and output by the Model Context Protocol."),
        "check": Entry(
            "monitoring",
            "Answer as a Nagios plugin: one line, performance data, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        ),
        "metrics": Entry("monitoring", "Print the metrics as Prometheus reads them, or write them to a file."),
    },
    "Give and take": {
        "forecast": Entry(
            "giving",
            "Show what renewals will cost by month, environment and currency, and how that compares with the month before.",
        ),
        "export": Entry(
            "giving",
            "Give numbers, history, alerts and the audit log as CSV or JSON Lines, and the renewal days as a calendar.",
        ),
        "import": Entry("giving", "Take an inventory from elsewhere."),
    },
    "Decide": {
        "ack": Entry(
            "acknowledging",
            "Say that you look after it: no reminders until its next cycle, or until it gets worse.",
        ),
        "lapse": Entry(
            "deciding",
            "Say that NUMBER is meant to go: no renewal alerts, but a final warning, and an alarm if it renews anyway.",
        ),
        "silence": Entry("deciding", "Hide alerts for a while; what still holds then is told when it ends."),
    },
    "Set up and try": {
        "init": Entry("trying", "Write a commented starting configuration to PATH, readable by its owner only."),
        "config": Entry("trying", "Check and show the configuration."),
        "test-channel": Entry(
            "trying", "Send a marked test message to the channel NAME, or to all, the way alerts go."
        ),
        "doctor": Entry("trying", "Say what works and what to do about the rest."),
        "db": Entry("database", "Upgrade, check, back up, restore, copy and prune the database."),
        "demo": Entry("trying", "Show 45 simulated days of a made-up fleet in half a minute."),
        "simulator": Entry("trying", "Serve a simulated provider on loopback, to try a configuration against."),
        "completion": Entry(
            "shell", "Print the script by which bash, zsh or fish completes commands, options, names and numbers."
        ),
        "man": Entry("shell", "Print the manual page, as man reads it: `renewal-watch man | man -l -`."),
    },
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


def overview() -> str:
    """The help of `renewal-watch` itself, as wide as the terminal but at most 100 columns."""
    import shutil
    import textwrap

    width = max(min(shutil.get_terminal_size().columns, 100) - 2, 50)
    commands = {title: {name: one.line for name, one in section.items()} for title, section in SECTIONS.items()}
    lines = ["Usage: renewal-watch [OPTIONS] COMMAND [ARGS]...", ""]
    lines += textwrap.wrap(PURPOSE, width, initial_indent="  ", subsequent_indent="  ")
    for title, rows in ({"Options": OPTIONS} | commands).items():
        column = max(map(len, OPTIONS if rows is OPTIONS else COMMANDS)) + 4
        lines += ["", f"{title}:"]
        for name, line in rows.items():
            start = f"  {name}".ljust(column)
            lines += textwrap.wrap(line, width, initial_indent=start, subsequent_indent=" " * column)
    lines += ["", *textwrap.wrap("More about one: renewal-watch COMMAND --help", width)]
    return "\n".join(lines)
