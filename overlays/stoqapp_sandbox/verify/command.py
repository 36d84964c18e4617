"""The command ``stoqapp verify`` and its options."""

import argparse
from typing import Any, Final

from stoqapp.inputs import INPUTS
from stoqapp_sandbox.command import assumption

# The inputs of the SDK that are options here, and whether each is required.
GIVEN: Final = {"variant": True, "product": True, "email": True, "phone": False, "market": False}

_EXAMPLE: Final = """\
example:
  stoqapp verify --shop demo --variant 4711 --product 42 --email YOUR-ADDRESS \\
    --yes --json --record answers

"""
_EXIT_CODES: Final = """\
exit codes:
  0    every answer is as expected
  1    an answer is not as expected: a finding; or a cassette cannot be written
  2    usage, or you did not agree: nothing was sent
  3    the service refused the first request, on which all others build
  4    not sent: no connection was made
  5    requests went without an answer, or with a 5xx or redirect; the others are as expected
  6    rate limited, or near to it, before the end
  130  interrupted; what was known so far was printed
"""


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    parser = commands.add_parser(
        "verify",
        help="ask the real service whether it does what the sandbox does",
        description="Ask the service, with 14 to 17 requests, whether it does what the sandbox"
        " assumes. Says first what it will send, and asks. Take a sold-out variant for which you"
        " are not on the list, and contacts of yours. Needs the extra: stoqapp[sandbox].",
        epilog=_EXAMPLE + _EXIT_CODES,
    )
    parser.set_defaults(run=run)
    option = parser.add_argument
    option("--shop", help="the shop: demo, demo.myshopify.com or URL ($STOQ_SHOP)")
    for name, is_needed in GIVEN.items():
        option(f"--{name}", help=INPUTS[name].help, required=is_needed)
    option("--base-url", help="where the API is ($STOQ_BASE_URL)")
    option("--timeout", metavar="SECONDS", help="time to wait ($STOQ_TIMEOUT)")
    option(
        "--assume",
        action="append",
        default=[],
        type=assumption,
        metavar="NAME=CHOICE",
        help="expect another choice than the sandbox's default, like duplicate=409; repeatable",
    )
    option("--yes", action="store_true", help="do not ask, send")
    option("--json", action="store_true", help="print the findings as JSON")
    option(
        "--record",
        metavar="DIR",
        help="keep the answers there, as cassettes without personal data (extra [verify])",
    )
    option(
        "--show-words",
        action="store_true",
        help="print what the service says, with your values replaced; it may still name people",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the service and return the exit code."""
    # Needs the extra, and takes a while to import.
    from stoqapp_sandbox.verify.run import verify

    return verify(arguments)
