"""The commands for the shell itself: what completes the others, and their manual page."""

from __future__ import annotations

import click

from renewal_watch.cli import base


@base.cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which bash, zsh or fish completes commands, options, names and numbers.

    For yourself: put `eval "$(renewal-watch completion bash)"` into ~/.bashrc, the same with zsh into ~/.zshrc, or write
    what fish is given to ~/.config/fish/completions/renewal-watch.fish.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (click knows the three)
    made = kind(base.cli, {}, "renewal-watch", "_RENEWAL_WATCH_COMPLETE")
    script = ShellComplete.source(made)  # that of bash would start a bash to learn its age
    # As click writes it, fish shows of a sentence what stands before its first comma.
    click.echo(script.replace('string split ","', 'string split --max 1 ","'), nl=False)


@base.cli.command()
def man() -> None:
    """Print the manual page, as man reads it: `renewal-watch man | man -l -`."""
    from renewal_watch.cli import manual

    click.echo(manual.page(base.cli))
