"""Sign customers up from a form, with Flask.

pip install flask gunicorn
STOQ_SHOP=demo gunicorn --threads 4 app:app
"""

from functools import cache

from flask import Flask, request

from stoqapp import IntentRefusedError, InvalidIntentError, Stoq, StoqError

app = Flask(__name__)


@cache
def stoq() -> Stoq:
    """Make the client of this process, which its threads share, on the first request."""
    # A visitor waits no longer. A second request for one customer is safe.
    return Stoq(total_timeout=8, retry_unknown=True)


@app.post("/waitlist")
def join() -> dict[str, str]:
    """Put a customer on the waitlist of a variant."""
    variant, product = request.form.get("variant", ""), request.form.get("product", "")
    stoq().subscribe(variant=variant, product=product, email=request.form.get("email"))
    return {"message": "You are on the list."}


@app.errorhandler(StoqError)
def explain(error: StoqError) -> tuple[dict[str, str], int]:
    """Tell the customer what became of the sign-up."""
    if error.is_duplicate:
        return {"message": "You are on the list already."}, 200
    # An error's text holds no personal data.
    app.logger.warning("sign-up failed: %s", error)
    if isinstance(error, InvalidIntentError):
        return {"message": "Please check what you entered."}, 422
    if isinstance(error, IntentRefusedError):
        return {"message": "This product has no waitlist."}, 422
    if error.carried_out is None:
        return {"message": "You may be on the list. Send again to be sure."}, 503
    return {"message": "Please try later."}, 503
