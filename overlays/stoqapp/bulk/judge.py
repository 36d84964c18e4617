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

Kind = Literal["send", "reject", "skip"]
BOTH: Final = "both"
_DISTINCT: Final = 500
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


def contact_key(contact: str) -> str:
    """Return an address or a number as it is compared: without case, digits alone."""
    return contact.casefold() if "@" in contact else re.sub("[^0-9]", "", contact)


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
        constants = {name: str(value) for name, value in mapping.constants.items()}
        self._phones = constants.pop("phones", None)
        self._constants = constants

    def verdicts(self, record: Record) -> Iterator[Row]:
        """Yield the verdict of each intent that *record* stands for, with its key and date."""
        if record.fault is not None:
            yield Verdict(record.line, "reject", "cells", record.fault), None, None, None
            return
        texts = [text for text in record.cells.values() if cleaned(text)]
        if not texts:
            yield Verdict(record.line, "skip", "empty"), None, None, None
            return
        if len(texts) > 1 and all(text in (name, "") for name, text in record.cells.items()):
            yield Verdict(record.line, "skip", "header", "the header comes again"), None, None, None
            return
        row = self._constants | {
            name: text
            for name, column in self.fields.items()
            if (text := cleaned(record.cells.get(column, "")))
        }
        date: cells.Moment | None = None
        shop: str | None = None
        try:
            date = self._date(row)
            contacts = self._contacts(row)
            if all(
                text.strip(" :").casefold() in words("totals")
                for text in (texts[0], *contacts.values())
            ):
                yield Verdict(record.line, "skip", "totals"), None, None, None
                return
            left = self._left(row, date)
            shop = self._shop(row.get("shop", self.choices.shop or ""))
            chosen = self._channels(row, contacts) if left is None else ()
        except UnusableCell as fault:
            yield Verdict(record.line, "reject", fault.reason, fault.advice, shop), None, date, None
            return
        if left is not None:
            key = None
            if left in GONE and contacts:
                key = self._intent(record.line, row, contacts, next(iter(contacts)), shop)[1]
            yield Verdict(record.line, "skip", left, "", shop), key, date, None
            return
        for channel in chosen:
            verdict, key = self._intent(record.line, row, contacts, channel, shop)
            yield verdict, key, date, row.get("gdpr_confirmed")

    def _intent(
        self, line: Line, row: dict[str, str], contacts: dict[str, str], channel: str, shop: str
    ) -> tuple[Verdict, bytes | None]:
        try:
            contact = self._contact(row, contacts, channel)
            if self._excluded(contacts, contact):
                return Verdict(line, "skip", "excluded", "", shop), None
            variant, product, details = self._variants.ids(row)
            body = cells.body_from(
                self._customer(row, channel)
                | details
                | {
                    "phone" if channel == "sms" else channel: contact,
                    "channel": channel,
                    "variant": variant,
                    "product": product,
                    "quantity": cells.quantity(row.get("quantity", "")),
                    "market": self._id(row, "market"),
                }
            )
        except UnusableCell as fault:
            return Verdict(line, "reject", fault.reason, fault.advice, shop), None
        sent = body["customer"]["phone" if channel == "sms" else channel]
        same = sent if channel == "push" else contact_key(sent)
        if same in self.choices.excluded:
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
        if "status" in self.fields or "status" in self._constants:
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

    def _contacts(self, row: dict[str, str]) -> dict[str, str]:
        found = {
            channel: row[name]
            for channel, name in (("email", "email"), ("sms", "phone"), ("push", "push"))
            if name in row
        }
        if "contact" in row:
            found["email" if "@" in row["contact"] else "sms"] = row["contact"]
        return found

    def _channels(self, row: dict[str, str], contacts: dict[str, str]) -> tuple[str, ...]:
        text = row.get("channel", "")
        said = self.mapping.value_of("channel", text)
        if text or said is not None:
            named: tuple[str, ...] = self._worded("channel", text, cells.channels)
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
        if channel not in contacts:
            if not contacts:
                raise UnusableCell("no_contact", "no e-mail address and no phone number")
            missing = {"email": "e-mail address", "sms": "phone number"}.get(channel, "push token")
            raise UnusableCell(f"no_{missing.split()[0]}", f"{channel} needs the {missing}")
        if channel == "email":
            return cells.email(contacts[channel])
        if channel == "push":
            return contacts[channel]
        return cells.phone(
            contacts[channel],
            has_country="country" in row or "country_code" in row,
            international=self._phones is not None,
        )

    def _excluded(self, contacts: dict[str, str], contact: str) -> bool:
        """Whether any contact of the row is excluded, also one that would not be used."""
        if not self.choices.excluded:
            return False
        return any(
            contact_key(one) in self.choices.excluded for one in (contact, *contacts.values())
        )

    def _customer(self, row: dict[str, str], channel: str) -> dict[str, Any]:
        names = [row[name] for name in ("first_name", "last_name") if name in row]
        agreed = row.get("accepts_marketing", "")
        if channel == "email":
            agreed = row.get("accepts_email_marketing", agreed)
        country = row.get("country", "")
        code = row.get("country_code")
        if country.lstrip("+").isdigit():
            country, code = "", country
        found = {
            "name": " ".join((row.get("name") or " ".join(names)).split()),
            "country": self._worded("country", country, cells.country) if country else None,
            "country_code": code,
            "accepts_marketing": self._worded("accepts_marketing", agreed, cells.consent),
            "locale": row.get("locale"),
            "customer_market": self._id(row, "customer_market"),
            "customer_id": row.get("customer_id"),
            "shopify_customer_id": row.get("shopify_customer_id"),
        }
        return {name: value for name, value in found.items() if value not in (None, "")}

    def _worded(self, target: str, text: str, read: Callable[[str, Any], Any]) -> Any:
        try:
            return read(text, self.mapping.value_of(target, text))
        except UnusableCell:
            self._count(target, text)
            raise

    def _count(self, target: str, text: str) -> None:
        counter = self.unknown.setdefault(target, Counter())
        if text in counter or len(counter) < _DISTINCT:
            counter[text] += 1

    def _id(self, row: dict[str, str], target: str) -> int | None:
        text = row.get(target, "")
        if not text:
            return None
        said = self.mapping.value_of(target, text)
        try:
            return cells.shopify_id(text if said is None else str(said), "market")
        except UnusableCell:
            self._count(target, text)
            raise
