"""The headers of an answer are read for what they are worth, and never trusted further."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoqapp.headers import RateLimit, rate_limit_from_headers

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # NOW
NOTHING = RateLimit(None, None, None)


def test_the_vendors_headers() -> None:
    """What the vendor documents is read as it is meant."""
    headers = {
        "x-ratelimit-limit": "360",
        "x-ratelimit-remaining": " 358\t",
        "x-ratelimit-reset": "1800000024",
        "date": DATE,
    }
    assert rate_limit_from_headers(headers, NOW) == RateLimit(360, 358, 24.0)


@pytest.mark.parametrize(
    ("date", "ours", "seconds"),
    [
        (DATE, NOW + 3600, 24.0),
        ("Friday, 15-Jan-27 08:00:00 GMT", 0.0, 24.0),
        ("Fri Jan 15 08:00:00 2027", 0.0, 24.0),
        ("", NOW + 0.5, 23.5),
        ("soon", NOW + 0.5, 23.5),
        ("Fri, 15 Jan 2027 08:01:00 GMT", NOW, 0.0),
    ],
)
def test_the_reset(date: str, ours: float, seconds: float) -> None:
    """The reset is measured from the answer's own date in any form, and else by our clock."""
    headers = {"x-ratelimit-reset": "1800000024", "date": date}
    assert seconds == rate_limit_from_headers(headers, ours).resets_in_seconds


@pytest.mark.parametrize(
    "said",
    [
        *("", " ", "text", "-1", "+1", "1.5", "1e3", "0x10", "nan", "inf", "１２", "1,2", "1 2"),
        *("1_000", "1\n2", "360, 360", "9" * 13, "9" * 5000),
    ],
)
def test_garbage_is_nothing(said: str) -> None:
    """What is not a plain number of a sane size is not known, in every field."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    assert rate_limit_from_headers(dict.fromkeys(names, said), NOW) == NOTHING


@pytest.mark.parametrize(
    ("name", "most"), [("limit", 10**9), ("remaining", 10**9), ("reset", 1_800_086_400)]
)
def test_what_no_budget_can_be(name: str, most: int) -> None:
    """Too many points, and a window of more than a day, are not known."""
    header = f"x-ratelimit-{name}"
    assert rate_limit_from_headers({header: str(most), "date": DATE}, NOW) != NOTHING
    assert rate_limit_from_headers({header: str(most + 1), "date": DATE}, NOW) == NOTHING


NAMES = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "date", "other"]
VALUES = st.text(max_size=20) | st.integers().map(str) | st.floats().map(str) | st.just(DATE)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.floats(-1e12, 1e12))
def test_any_headers(headers: dict[str, str], now: float) -> None:
    """Whatever the headers hold, reading them gives numbers in range or None."""
    reading: Any = rate_limit_from_headers(headers, now)
    assert reading.limit is None or 0 <= reading.limit <= 10**9
    assert reading.remaining is None or 0 <= reading.remaining <= 10**9
    assert reading.resets_in_seconds is None or 0 <= reading.resets_in_seconds <= 86_400
