"""Sign customers up from a form, with FastAPI.

pip install fastapi python-multipart uvicorn
STOQ_SHOP=demo STOREFRONT=https://demo.example.com uvicorn app:app
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from stoqapp import AsyncStoq, IntentRefusedError, InvalidIntentError, StoqError

STOREFRONT = os.environ.get("STOREFRONT", "http://127.0.0.1:8000")
Field = Annotated[str, Form()]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, AsyncStoq]]:
    """Keep one client, and so its connections, for the life of the process."""
    # A visitor waits no longer. A second request for one customer is safe.
    async with AsyncStoq(total_timeout=8, retry_unknown=True) as stoq:
        yield {"stoq": stoq}


app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware, allow_origins=[STOREFRONT], allow_methods=["POST"])


@app.post("/waitlist")
async def join(
    request: Request, variant: Field = "", product: Field = "", email: Field = ""
) -> dict[str, str]:
    """Put a customer on the waitlist of a variant."""
    await request.state.stoq.subscribe(variant=variant, product=product, email=email)
    return {"message": "You are on the list."}


@app.exception_handler(StoqError)
async def explain(_: Request, error: StoqError) -> JSONResponse:
    """Tell the customer what became of the sign-up."""
    if error.is_duplicate:
        return JSONResponse({"message": "You are on the list already."})
    # An error's text holds no personal data.
    logging.getLogger(__name__).warning("sign-up failed: %s", error)
    if isinstance(error, InvalidIntentError):
        return JSONResponse({"message": "Please check what you entered."}, 422)
    if isinstance(error, IntentRefusedError):
        return JSONResponse({"message": "This product has no waitlist."}, 422)
    if error.carried_out is None:
        return JSONResponse({"message": "You may be on the list. Send again to be sure."}, 503)
    return JSONResponse({"message": "Please try later."}, 503)
