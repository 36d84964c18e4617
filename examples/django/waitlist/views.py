"""Three ways to sign a customer up: at once, from an async view, and by the outbox."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from waitlist.answers import explained
from waitlist.models import WaitingIntent

from stoqapp import AsyncStoq, Budget, Stoq, StoqError
from stoqapp.inputs import prepare


@cache
def client(kind: type[Any]) -> Any:
    """Make the client of this process on the first request: after gunicorn has forked."""
    # A visitor waits no longer. A second request for one customer is safe.
    return kind(total_timeout=8, retry_unknown=True, budget=Budget.sqlite(settings.STOQ_BUDGET))


def wanted(request: HttpRequest) -> dict[str, str]:
    return {name: request.POST.get(name, "") for name in ("variant", "product", "email")}


@require_POST
def join(request: HttpRequest) -> JsonResponse:
    try:
        client(Stoq).subscribe(**wanted(request))
    except StoqError as error:
        return explained(error)
    return JsonResponse({"message": "You are on the list."})


@require_POST
async def join_async(request: HttpRequest) -> JsonResponse:
    try:
        await client(AsyncStoq).subscribe(**wanted(request))
    except StoqError as error:
        return explained(error)
    return JsonResponse({"message": "You are on the list."})


@require_POST
def join_later(request: HttpRequest) -> JsonResponse:
    """Answer without a wait for STOQ; ``python -m django drain`` sends it."""
    try:
        body = prepare(**wanted(request)).body
    except StoqError as error:
        return explained(error)
    WaitingIntent.objects.create(shop=client(Stoq).shop, body=body)
    return JsonResponse({"message": "We put you on the list."}, status=202)


urlpatterns = [path("waitlist", join), path("async", join_async), path("later", join_later)]
