"""Lets ``python -m renewal_watch`` be the command ``renewal-watch``."""

from renewal_watch.cli import main

main()
