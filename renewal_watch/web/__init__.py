"""The pages in a browser, and what other programs read over HTTP; reads the database that the daemon writes.

``app`` is put together from ``pages`` (what is shown), ``charts`` (drawings), ``actions`` (what is done after a login),
``security`` (who may do what) and ``feeds`` (what programs read); ``serve`` runs it.
"""
