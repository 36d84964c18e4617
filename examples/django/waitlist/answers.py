"""What a customer is told of a sign-up that was not simply created."""

import logging

from django.http import JsonResponse

from stoqapp import IntentRefusedError, InvalidIntentError, StoqError


def explained(error: StoqError) -> JsonResponse:
    """Return the answer that fits *error*."""
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
    headers = {"Retry-After": f"{error.retry_after:.0f}"} if error.retry_after else {}
    return JsonResponse({"message": message}, status=503, headers=headers)
