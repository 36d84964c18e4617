"""A view for a launch: it writes to the outbox, and does not wait for STOQ."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from waitlist.models import WaitingIntent
from waitlist.views import client, explained, wanted

from stoqapp import Stoq, StoqError
from stoqapp.inputs import prepare


@require_POST
@sensitive_post_parameters("email")
def join_later(request: HttpRequest) -> JsonResponse:
    try:
        body = prepare(**wanted(request)).body
    except StoqError as error:
        return explained(error)
    WaitingIntent.objects.create(shop=client(Stoq).shop, body=body)
    return JsonResponse({"message": "We put you on the list."}, status=202)
