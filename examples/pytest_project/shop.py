"""A shop's own code, which calls STOQ."""

from stoqapp import IntentRefusedError, Stoq, StoqError


def notify_me(stoq: Stoq, variant: int, product: int, email: str) -> str:
    """Put a customer on the waitlist, and return what to tell them."""
    try:
        stoq.subscribe(variant=variant, product=product, email=email)
    except IntentRefusedError as error:
        return "You are on the list already." if error.is_duplicate else "This is not possible."
    except StoqError as error:
        unknown = error.carried_out is None
        return "You may be on the list: send again." if unknown else "Please try later."
    return "You are on the list."
