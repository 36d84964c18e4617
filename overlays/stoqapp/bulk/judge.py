"""What one record is to become: each of its intents is sent, rejected or skipped, and why."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

from attrs import field, frozen

from stoqapp.bulk import cells
from stoqapp.bulk.catalog import Catalog
from stoqapp.bulk.cells import UnusableCell, cleaned, moment
from stoqapp.bulk.documents import Line, Record
from stoqapp.bulk.mapping import ColumnMapping, words
from stoqapp.bulk.variants import Match, Variants
from stoqapp.errors import UnusableInputError
from stoqapp.readers import shop_from
from stoqapp.rules import CONTACT_OF_CHANNEL

Kind = Literal["send", "reject", "skip"]
BOTH: Final = "both"
_DISTINCT: Final = 500
_NO_DIGITS: Final = re.compile("[^0-9]")
_TOTALS: Final = words("totals")
GONE: Final = ("unsubscribed", "blocked")


@frozen
class Verdict:
    """What is to become of one intent of a row.

    Attributes:
        line: Of the row.
        verdict: ``send``, ``reject`` (a person must mend it) or ``skip`` (rightly not sent).
        reason: One word for it, the same for all of its kind; None for ``send``.
        advice: What is wrong and what to do, without anybody's data.
        shop: The shop's host name, None where none was read.
        body: The request, for ``send``.
    """

    line: Line
    verdict: Kind
    reason: str | None = None
    advice: str = ""
    shop: str | None = None
    body: dict[str, Any] | None = field(default=None, repr=False)


@frozen
class Choices:
    """What a person decided for the whole file.

    Attributes:
        shop: The shop of rows that name none.
        channel: For rows with an e-mail address and a phone number.
        match: What says which variant; None takes the id, else the SKU, else the titles.
        excluded: Contacts of people not to import, as `contact_key` has them.
        since: Leave out older rows; seconds since 1970.
        dates: ``day-first`` or ``month-first``, where the file's dates read both ways.
        target: Where it goes, part of the keys: what a sandbox got is not what STOQ got.
        salt: Of the keys.
    """

    shop: str | None = None
    channel: str | None = None
    match: Match | None = None
    excluded: frozenset[str] = field(default=frozenset(), repr=False)
    since: float | None = None
    dates: str | None = None
    target: str = ""
    salt: bytes = field(factory=lambda: os.urandom(32), repr=False)


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "accepts_marketing": cells.consent,
    "channel": cells.channels,
    "country": cells.country,
    "customer_market": cells.market,
    "market": cells.market,
    "quantity": cells.quantity,
}
_MISSING: Final = {"email": "e-mail address", "sms": "phone number", "push": "push token"}
_AS_GIVEN: Final = ("country_code", "locale", "customer_id", "shopify_customer_id")


def contact_key(contact: str) -> str:
    """Return an address or a number as it is compared: without case, digits alone."""
    return contact.casefold() if "@" in contact else _NO_DIGITS.sub("", contact)


Row = tuple[Verdict, bytes | None, cells.Moment | None, str | None]


class Judge:
    """Gives each record its verdicts, one at a time."""

    def __init__(
        self,
        mapping: ColumnMapping,
        columns: Sequence[str],
        catalog: Catalog | None,
        choices: Choices,
    ) -> None:
        self.mapping = mapping
        self.catalog = catalog
        self.choices = choices
        self._variants = Variants(catalog, choices.match)
        self.fields = mapping.fields_of(columns)
        # Of each field, the texts that mean nothing to us, and how often they come.
        self.unknown: dict[str, Counter[str]] = {}
        self._shop = lru_cache(maxsize=10_000)(self._read_shop)
        self._constants = {name: str(value) for name, value in mapping.constants.items()}
        self._international = self._constants.pop("phones", None) is not None
        self._has_status = "status" in {*self.fields, *self._constants}

    def verdicts(self, record: Record) -> Iterator[Row]:
        """Yield the verdict of each intent that *record* stands for, with its key and date."""
        line = record.line
        if record.fault is not None:
            yield Verdict(line, "reject", "cells", record.fault), None, None, None
            return
        texts = {column: text for column, cell in record.cells.items() if (text := cleaned(cell))}
        row = self._constants | {
            name: texts[column] for name, column in self.fields.items() if column in texts
        }
        contacts = {
            channel: row[name] for channel, name in CONTACT_OF_CHANNEL.items() if name in row
        }
        if "contact" in row:
            contacts["email" if "@" in row["contact"] else "sms"] = row["contact"]
        if reason := self._no_row(record, texts, contacts):
            yield Verdict(line, "skip", reason), None, None, None
            return
        date = self._date(row)
        shop: str | None = None
        try:
            left = self._left(row, date)
            shop = self._shop(row.get("shop", self.choices.shop or ""))
            chosen = self._channels(row, contacts) if left is None else ()
        except UnusableCell as fault:
            yield Verdict(line, "reject", fault.reason, fault.advice, shop), None, date, None
            return
        if left is not None:
            key = None
            if left in GONE and contacts:
                key = self._intent(line, row, contacts, next(iter(contacts)), shop)[1]
            yield Verdict(line, "skip", left, "", shop), key, date, None
        for channel in chosen:
            verdict, key = self._intent(line, row, contacts, channel, shop)
            yield verdict, key, date, row.get("gdpr_confirmed")

    def _no_row(
        self, record: Record, texts: dict[str, str], contacts: dict[str, str]
    ) -> str | None:
        """Return why a record stands for no customer: empty, the header again, or totals."""
        if not texts:
            return "empty"
        if len(texts) > 1 and all(text in (name, "") for name, text in record.cells.items()):
            return "header"
        first = next(iter(texts.values()))
        if all(text.strip(" :").casefold() in _TOTALS for text in (first, *contacts.values())):
            return "totals"
        return None

    def _intent(
        self, line: Line, row: dict[str, str], contacts: dict[str, str], channel: str, shop: str
    ) -> tuple[Verdict, bytes | None]:
        """Return the verdict of one intent, and its key."""
        excluded = self.choices.excluded
        try:
            contact = self._contact(row, contacts, channel)
            # By any contact of the row, also by one that would not be used.
            if excluded and any(contact_key(one) in excluded for one in contacts.values()):
                return Verdict(line, "skip", "excluded", "", shop), None
            variant, product, details = self._variants.ids(row)
            body = cells.body_from(
                {
                    CONTACT_OF_CHANNEL[channel]: contact,
                    "channel": channel,
                    "variant": variant,
                    "product": product,
                    "quantity": self._read(row, "quantity") or 1,
                    "market": self._read(row, "market"),
                    **self._customer(row, channel),
                    **details,
                }
            )
        except UnusableCell as fault:
            return Verdict(line, "reject", fault.reason, fault.advice, shop), None
        sent = body["customer"][CONTACT_OF_CHANNEL[channel]]
        same = sent if channel == "push" else contact_key(sent)
        if same in excluded:
            return Verdict(line, "skip", "excluded", "", shop), None
        market = body["intent"].get("shopify_market_id", "")
        parts = (self.choices.target, shop, channel, same, variant, market)
        key = blake2b("\n".join(map(str, parts)).encode(), key=self.choices.salt, digest_size=16)
        return Verdict(line, "send", None, "", shop, body), key.digest()

    def _read_shop(self, text: str) -> str:
        if not text:
            raise UnusableCell("shop", "no shop: give --shop, or name a column with --map")
        try:
            return shop_from(text).value
        except UnusableInputError as fault:
            raise UnusableCell("shop", f"the shop {fault}") from None

    def _date(self, row: dict[str, str]) -> cells.Moment | None:
        try:
            return moment(row["date"]) if "date" in row else None
        except UnusableCell:
            self._count("date", "(not a date)")
            return None

    def _left(self, row: dict[str, str], date: cells.Moment | None) -> str | None:
        """Return why somebody does not wait any more, None where they do."""
        if self._has_status:
            text = row.get("status", "")
            status = self.mapping.value_of("status", text)
            if status is None:
                self._count("status", text)
                raise UnusableCell(
                    "unknown_status", "the status means nothing to us; say it with --value"
                )
            if status != "waiting":
                return str(status)
        if "unsubscribed_at" in row:
            return "unsubscribed"
        if "notified_at" not in row:
            return None
        told = moment(row["notified_at"])
        if date and date.day_first and told.day_first and date.day_first > told.day_first:
            return None
        return "notified"

    def _channels(self, row: dict[str, str], contacts: dict[str, str]) -> tuple[str, ...]:
        named: tuple[str, ...] | None = self._read(row, "channel")
        if named is not None:
            return named
        if not contacts:
            raise UnusableCell("no_contact", "no e-mail address and no phone number")
        if len(contacts) == 1:
            return tuple(contacts)
        if self.choices.channel is None:
            raise UnusableCell(
                "channel", "several contacts: choose with --channel email, sms or both"
            )
        wanted = ("email", "sms") if self.choices.channel == BOTH else (self.choices.channel,)
        return tuple(channel for channel in wanted if channel in contacts) or tuple(contacts)

    def _contact(self, row: dict[str, str], contacts: dict[str, str], channel: str) -> str:
        if not contacts:
            raise UnusableCell("no_contact", "no e-mail address and no phone number")
        if channel not in contacts:
            missing = _MISSING[channel]
            raise UnusableCell(f"no_{missing.split()[0]}", f"{channel} needs the {missing}")
        if channel == "email":
            return cells.email(contacts[channel])
        if channel == "push":
            return contacts[channel]
        return cells.phone(
            contacts[channel],
            has_country="country" in row or "country_code" in row,
            international=self._international,
        )

    def _customer(self, row: dict[str, str], channel: str) -> dict[str, Any]:
        names = [row[name] for name in ("first_name", "last_name") if name in row]
        found: dict[str, Any] = {name: row[name] for name in _AS_GIVEN if name in row}
        found["name"] = " ".join((row.get("name") or " ".join(names)).split())
        if channel == "email" and "accepts_email_marketing" in row:
            row = row | {"accepts_marketing": row["accepts_email_marketing"]}
        country = row.get("country", "")
        if country.lstrip("+").isdigit():
            found["country_code"] = country
        else:
            found["country"] = self._read(row, "country")
        for name in ("accepts_marketing", "customer_market"):
            found[name] = self._read(row, name)
        return found

    def _read(self, row: dict[str, str], name: str) -> Any:
        """Return the value of a field, None where the row has none."""
        text = row.get(name, "")
        said = self.mapping.value_of(name, text)
        if said is None and not text:
            return None
        try:
            return _READERS[name](text if said is None else str(said))
        except UnusableCell:
            self._count(name, text)
            raise

    def _count(self, name: str, text: str) -> None:
        counter = self.unknown.setdefault(name, Counter())
        if text in counter or len(counter) < _DISTINCT:
            counter[text] += 1
