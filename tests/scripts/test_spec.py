"""openapi.json and what is written by hand: if they differ, a sentence says what to edit."""

from stoqapp.inputs import INPUTS
from stoqapp.rules import CHANNELS
from stoqapp.spec import SPEC
from update_spec import findings


def test_nothing_is_left_to_edit() -> None:
    """Rules, channels, inputs, keywords, headers and corrections fit the file."""
    asked = [text for text, is_edit in findings(dict(SPEC.document)) if is_edit]
    assert not asked, "\n".join(asked)


def test_the_contact_of_each_channel_has_an_argument() -> None:
    """What a channel needs can be given."""
    assert {one.contact for one in CHANNELS} <= {row.path for row in INPUTS.values()}
