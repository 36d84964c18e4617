"""Sign customers up from a form, with Flask.

    pip install flask gunicorn
    STOQ_SHOP=demo gunicorn --threads 4 app:app

``STOQ_BASE_URL`` leads to a sandbox while you try it.
"""

from functools import cache

from flask import Flask, Response, request

from stoqapp import IntentRefusedError, InvalidIntentError, Stoq, StoqError

app = Flask(__name__)


@cache
def stoq() -> Stoq:
    """Make the client of this process, which its threads share, on the first request."""
    # A visitor waits no longer. A second request for one customer is safe.
    return Stoq(total_timeout=8, retry_unknown=True)


@app.post("/waitlist")
def join() -> str:
    """Put a customer on the waitlist of a variant."""
    form = request.form
    stoq().subscribe(variant=form["variant"], product=form["product"], email=form["email"])
    return "You are on the list."


@app.errorhandler(StoqError)
def explain(error: StoqError) -> Response:
    """Tell the customer what became of the sign-up."""
    if error.is_duplicate:
        return Response("You are on the list already.")
    # An error's text holds no personal data.
    app.logger.warning("sign-up failed: %s", error)
    match error:
        case InvalidIntentError():
            return Response("Please check what you entered.", 422)
        case IntentRefusedError():
            return Response("This product has no waitlist.", 422)
        case StoqError(carried_out=None):
            answer = Response("You may be on the list. Send again to be sure.", 503)
        case _:
            answer = Response("Please try later.", 503)
    answer.retry_after = error.retry_after and round(error.retry_after)
    return answer
