"""Sign customers up from a form, in a view and in an async view."""

import logging
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from stoqapp import AsyncStoq, Budget, IntentRefusedError, InvalidIntentError, Stoq, StoqError


@cache
def client(kind: type[Any]) -> Any:
    """Make the client of this process on the first request: after gunicorn has forked."""
    # A visitor waits no longer. A second request for one customer is safe.
    return kind(total_timeout=8, retry_unknown=True, budget=Budget.sqlite(settings.STOQ_BUDGET))


def wanted(request: HttpRequest) -> dict[str, str]:
    return {name: request.POST.get(name, "") for name in ("variant", "product", "email")}


@require_POST
@sensitive_post_parameters("email")
def join(request: HttpRequest) -> JsonResponse:
    try:
        client(Stoq).subscribe(**wanted(request))
    except StoqError as error:
        return explained(error)
    return JsonResponse({"message": "You are on the list."})


@require_POST
@sensitive_post_parameters("email")
async def join_async(request: HttpRequest) -> JsonResponse:
    try:
        await client(AsyncStoq).subscribe(**wanted(request))
    except StoqError as error:
        return explained(error)
    return JsonResponse({"message": "You are on the list."})


def explained(error: StoqError) -> JsonResponse:
    """Tell the customer what became of the sign-up."""
    if error.is_duplicate:
        return JsonResponse({"message": "You are on the list already."})
    # An error's text holds no personal data.
    logging.getLogger(__name__).warning("sign-up failed: %s", error)
    if isinstance(error, InvalidIntentError):
        return JsonResponse({"message": "Please check what you entered."}, status=422)
    if isinstance(error, IntentRefusedError):
        return JsonResponse({"message": "This product has no waitlist."}, status=422)
    unknown = error.carried_out is None
    message = "You may be on the list. Send again to be sure." if unknown else "Please try later."
    return JsonResponse({"message": message}, status=503)
