"""Reads what is sent along with a request, up to a size."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from renewal_watch.language import N_

log = logging.getLogger(__name__)


async def body_of(request: Request, most: int) -> bytes:
    """All of it. Raises HTTPException for more than ``most`` bytes, and for one that was broken off."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise HTTPException(413, N_("The form is too large."), {"Connection": "close"})
    except ClientDisconnect:
        log.info("a form was broken off by the browser")
        raise HTTPException(400, N_("The form was broken off.")) from None
    return body
