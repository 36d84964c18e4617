"""A shop's own code, which calls STOQ."""

from stoqapp import Stoq, StoqError


def notify_me(stoq: Stoq, variant: int, product: int, email: str) -> str:
    """Put a customer on the waitlist, and return what to tell them."""
    try:
        stoq.subscribe(variant=variant, product=product, email=email)
    except StoqError as error:
        if error.is_duplicate:
            return "You are on the list already."
        unknown = error.carried_out is None
        return "You may be on the list: send again." if unknown else "Please try later."
    return "You are on the list."
