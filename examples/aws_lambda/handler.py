"""Sign customers up in an AWS Lambda function, behind a function URL or API Gateway.

Set ``handler.handler`` as the handler, and ``STOQ_SHOP`` in the environment.
"""

import json
import logging
from typing import Any

from stoqapp import IntentRefusedError, InvalidIntentError, Stoq, StoqError

# One client for each container: calls that find it warm use its connections again.
STOQ = Stoq(retry_unknown=True)
# Kept back from the time that is left, to answer in.
SECONDS_TO_ANSWER = 0.5


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Put a customer on the waitlist of a variant; the body is a JSON object."""
    try:
        form = json.loads(event["body"])
        wanted = {name: form[name] for name in ("variant", "product", "email")}
    except (KeyError, TypeError, ValueError):
        return answer(400, "Send variant, product and email.")
    seconds = context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_ANSWER
    try:
        STOQ.subscribe(**wanted, total_timeout=max(seconds, 0.001))
    except StoqError as error:
        if error.is_duplicate:
            return answer(200, "You are on the list already.")
        # An error's text holds no personal data.
        logging.getLogger(__name__).warning("sign-up failed: %s", error)
        if isinstance(error, InvalidIntentError):
            return answer(422, "Please check what you entered.")
        if isinstance(error, IntentRefusedError):
            return answer(422, "This product has no waitlist.")
        if error.carried_out is None:
            return answer(503, "You may be on the list. Send again to be sure.")
        return answer(503, "Please try later.")
    return answer(200, "You are on the list.")


def answer(status: int, message: str) -> dict[str, Any]:
    """Return what the gateway makes an HTTP answer of."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps({"message": message})}
