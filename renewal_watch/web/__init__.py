"""The pages in a browser, and what other programs read over HTTP; reads the database that the daemon writes.

``app`` is put together from ``pages/`` (what is shown), ``api/`` and ``endpoint`` (what programs ask), ``feeds`` (what they fetch),
``actions`` (what is done after a login), ``gate`` and ``security`` (who may come in); ``state`` is what they share, ``serve`` runs it.
"""
