"""What one record is to become: each of its intents is sent, rejected or skipped, and why."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, Final, Literal

from attrs import field, frozen

from stoqapp.bulk import cells
from stoqapp.bulk.catalog import Catalog, Match
from stoqapp.bulk.cells import Moment, UnusableCell, cleaned
from stoqapp.bulk.mapping import STATUSES, ColumnMapping, words
from stoqapp.bulk.read import Line, Record
from stoqapp.errors import UnusableInputError
from stoqapp.readers import shop_from
from stoqapp.rules import CONTACT_OF_CHANNEL

Kind = Literal["send", "reject", "skip", "gone"]
BOTH: Final = "both"
GONE: Final = ("unsubscribed", "blocked")
_DISTINCT: Final = 500
_TOTALS: Final = words("totals")
_market: Final = partial(cells.shopify_id, reason="market")
# The same few texts come in many rows.
_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "accepts_marketing": lru_cache(cells.consent),
    "channel": lru_cache(cells.channels),
    "country": lru_cache(cells.country),
    "customer_market": lru_cache(_market),
    "market": lru_cache(_market),
    "quantity": lru_cache(cells.quantity),
}
_DETAILS: Final = ("product_title", "variant_title", "vendor", "sku")
_IDS: Final = ("shop", "variant", "variant_id", "product_id", "market", "customer_market")
_PERSONAL: Final = ("email", "phone", "push", "contact", "name", "first_name", "last_name")
_MISSING: Final = {"email": "e-mail address", "sms": "phone number", "push": "push token"}
_NO_CONTACT: Final = ("no_contact", "no e-mail address and no phone number")


@frozen
class Verdict:
    """What is to become of one intent of a row.

    Attributes:
        line: Of the row.
        verdict: ``send``, ``reject`` (a person must mend it) or ``skip`` (rightly not sent). A
            judge says ``gone`` of another contact in a row that it skipped; plans have none.
        reason: One word for it, the same for all of its kind; None for ``send``.
        advice: What is wrong and what to do, without anybody's data.
        shop: The shop's host name, None where none was read.
        body: The request, for ``send``; else empty.
        key: The intent's name in a ledger, a salted hash, where the row could be read.
        date: When the customer signed up, in seconds since 1970.
        gdpr: The cell "GDPR confirmed", which only STOQ's template takes.
        title: Of product and variant in the catalog; a row may hold anything in such columns.
        row: The intent's number in its plan.
    """

    line: Line
    verdict: Kind
    reason: str | None = None
    advice: str = ""
    shop: str | None = None
    body: dict[str, Any] = field(factory=dict, repr=False)
    key: bytes | None = field(default=None, repr=False)
    date: float | None = None
    gdpr: str | None = field(default=None, repr=False)
    title: str = ""
    row: int = 0

    @property
    def variant(self) -> int:
        """The id of the variant, for ``send``."""
        return int(self.body["intent"]["shopify_variant_id"])


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
    if contact.isdecimal():
        return contact
    return contact.casefold() if "@" in contact else re.sub("[^0-9]", "", contact)


class Judge:
    """Gives each record its verdicts, one at a time."""

    def __init__(
        self,
        mapping: ColumnMapping,
        columns: tuple[str, ...],
        catalog: Catalog | None,
        choices: Choices,
    ) -> None:
        self.columns = columns
        self.catalog = catalog
        self.choices = choices
        self.fields: dict[str, str] = mapping.fields_of(columns)
        # Of each field, the texts that mean nothing to us, and how often they come.
        self.unknown: dict[str, Counter[str]] = {}
        self._shop = lru_cache(maxsize=10_000)(_shop)
        self._values = dict(mapping.values)
        self._statuses = self._values.pop("status", {})
        self._constants = {name: str(value) for name, value in mapping.constants.items()}
        self._international = self._constants.pop("phones", None) is not None
        self.dates: str | None = choices.dates or mapping.dates
        # Without a choice both ways of reading a date count.
        self._orders = (self.dates.replace("-", "_"),) if self.dates else Moment._fields
        self._has_status = "status" in {*self.fields, *self._constants}

    def verdicts(self, record: Record) -> Iterator[tuple[Verdict, Moment | None]]:
        """Yield the verdict of each intent that *record* stands for, with its date."""
        line = record.line
        if record.fault is not None:
            yield Verdict(line, "reject", "cells", record.fault), None
            return
        texts = {column: text for column, cell in record.cells.items() if (text := cleaned(cell))}
        row = self._row(texts)
        contacts = {
            channel: row[name] for channel, name in CONTACT_OF_CHANNEL.items() if name in row
        }
        if "contact" in row:
            contacts["email" if "@" in row["contact"] else "sms"] = row["contact"]
        if reason := _no_row(texts, contacts):
            yield Verdict(line, "skip", reason), None
            return
        date = self._date(row)
        people = set(map(contact_key, contacts.values()))
        if any(contact_key(row[name]) in people for name in _IDS if name in row):
            advice = "an id or a shop is the row's contact: do the columns fit?"
            yield Verdict(line, "reject", "cells", advice), date
            return
        try:
            left = self._left(row, date)
            if left not in (None, *GONE):
                yield Verdict(line, "skip", left), date
                return
            shop = self._shop(row.get("shop", self.choices.shop or ""))
            channels = tuple(contacts) if left else self._channels(row, contacts)
        except UnusableCell as fault:
            yield Verdict(line, "reject", fault.reason, fault.advice), date
            return
        for place, channel in enumerate(channels):
            told = self._intent(line, row, contacts, channel, shop)
            if left:
                # Its keys take other rows of the same person off the list; it counts once.
                told = Verdict(line, "gone" if place else "skip", left, shop=shop, key=told.key)
            yield told, date
        if not channels:
            yield Verdict(line, "skip", left, shop=shop), date

    def _row(self, texts: dict[str, str]) -> dict[str, str]:
        """Return the text of each field that has one."""
        row = self._constants | {
            name: texts[column] for name, column in self.fields.items() if column in texts
        }
        for name, meanings in self._values.items():
            row[name] = str(meanings.get(row.get(name, "").casefold(), row.get(name, "")))
            if not row[name]:
                del row[name]
        return row

    def _intent(
        self, line: Line, row: dict[str, str], contacts: dict[str, str], channel: str, shop: str
    ) -> Verdict:
        excluded = self.choices.excluded
        contact_field = CONTACT_OF_CHANNEL[channel]
        try:
            contact = self._contact(row, contacts, channel)
            # By any contact of the row, also by one that would not be used.
            if excluded and any(contact_key(one) in excluded for one in contacts.values()):
                return Verdict(line, "skip", "excluded", shop=shop)
            about, title = self._variant(row)
            about |= self._details(row, channel)
            body = cells.body_from({**about, contact_field: contact, "channel": channel})
        except UnusableCell as fault:
            return Verdict(line, "reject", fault.reason, fault.advice, shop)
        sent = body["customer"][contact_field]
        same = sent if channel == "push" else contact_key(sent)
        if same in excluded:
            return Verdict(line, "skip", "excluded", shop=shop)
        intent = body["intent"]
        market = intent.get("shopify_market_id", "")
        parts = (
            *(self.choices.target, shop, channel, same),
            *(intent["shopify_variant_id"], market),
        )
        key = blake2b("\n".join(map(str, parts)).encode(), key=self.choices.salt, digest_size=16)
        gdpr = row.get("gdpr_confirmed")
        return Verdict(line, "send", None, "", shop, body, key.digest(), gdpr=gdpr, title=title)

    def _date(self, row: dict[str, str]) -> Moment | None:
        try:
            return cells.moment(row["date"]) if "date" in row else None
        except UnusableCell:
            self._count("date", {"date": "(not a date)"})
            return None

    def _left(self, row: dict[str, str], date: Moment | None) -> str | None:
        """Return why somebody does not wait any more, None where they do."""
        if self._has_status:
            status = self._statuses.get(row.get("status", "").casefold())
            if status is None:
                self._count("status", row)
                raise UnusableCell(
                    "unknown_status", "the status means nothing to us; say it with --value"
                )
            if status != STATUSES[0]:
                return str(status)
        if self._when(row, "unsubscribed_at") or self._when(row, "unsubscribed"):
            return "unsubscribed"
        told = self._when(row, "notified_at") or self._when(row, "notified")
        if told is None:
            return None
        pairs = [(getattr(date, one, None), getattr(told, one)) for one in self._orders]
        came_back = [signed > sent for signed, sent in pairs if signed and sent]
        return None if came_back and all(came_back) else "notified"

    def _when(self, row: dict[str, str], name: str) -> Moment | None:
        """Return when something happened, None if it did not; a yes does not say when."""
        text = row.get(name, "no")
        if text.casefold() in words("false"):
            return None
        try:
            is_yes = text.casefold() in words("true")
            return Moment(None, None) if is_yes else cells.moment(text)
        except UnusableCell:
            self._count(name, row)
            raise UnusableCell(
                name, f"{name}: neither yes, no nor a date; say what it means with --value"
            ) from None

    def _channels(self, row: dict[str, str], contacts: dict[str, str]) -> tuple[str, ...]:
        if "channel" in row:
            named: tuple[str, ...] = self._read(row, "channel")
            return named
        if not contacts:
            raise UnusableCell(*_NO_CONTACT)
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
            raise UnusableCell(*_NO_CONTACT)
        if channel not in contacts:
            missing = _MISSING[channel]
            raise UnusableCell(f"no_{missing.split()[0]}", f"{channel} needs the {missing}")
        if channel == "email":
            return cells.email(contacts[channel])
        if channel == "push":
            return contacts[channel]
        has_country = "country" in row or "country_code" in row
        return cells.phone(
            contacts[channel], has_country=has_country, international=self._international
        )

    def _variant(self, row: dict[str, str]) -> tuple[dict[str, Any], str]:
        """Return the ids of variant and product with what is known of the product, and a title."""
        if self.catalog is not None:
            found = self.catalog.find(row, self.choices.match)
            ids = {"variant": found.id, "product": found.product_id}
            title = " / ".join(filter(None, (found.product_title, found.title)))
            return ids | self.catalog.product_fields(found), title
        variant, product = row.get("variant_id") or row.get("variant"), row.get("product_id")
        if not (variant and product and self.choices.match in (None, "id")):
            raise UnusableCell(
                "no_product",
                "without --catalog a row needs the ids of variant and product: name their columns"
                " with --map, or see stoqapp catalog",
            )
        ids = {
            "variant": cells.shopify_id(variant, "variant_id"),
            "product": cells.shopify_id(product, "product_id"),
        }
        return ids | {name: row[name] for name in _DETAILS if name in row}, ""

    def _details(self, row: dict[str, str], channel: str) -> dict[str, Any]:
        """Return what a row says of the intent and the customer."""
        if channel == "email" and "accepts_email_marketing" in row:
            row = row | {"accepts_marketing": row["accepts_email_marketing"]}
        country = row.get("country", "")
        if country.lstrip("+").isdigit():
            row = row | {"country_code": country}
            del row["country"]
        names = [row[name] for name in ("first_name", "last_name") if name in row]
        found: dict[str, Any] = {name: row[name] for name in cells.AS_GIVEN if name in row}
        found |= {name: self._read(row, name) for name in _READERS if name in row}
        return found | {"name": " ".join((row.get("name") or " ".join(names)).split())}

    def _read(self, row: dict[str, str], name: str) -> Any:
        try:
            return _READERS[name](row[name])
        except UnusableCell:
            self._count(name, row)
            raise

    def _count(self, name: str, row: dict[str, str]) -> None:
        """Note a text that means nothing to us, unless it is of the person in the row."""
        text = row.get(name, "")
        people = " ".join(row[one] for one in _PERSONAL if one in row).casefold()
        parts = re.findall(r"\w{3,}", text.casefold())
        if any(part in people for part in parts):
            text = "(somebody's data)"
        counter = self.unknown.setdefault(name, Counter())
        if text in counter or len(counter) < _DISTINCT:
            counter[text] += 1


def _no_row(texts: dict[str, str], contacts: dict[str, str]) -> str | None:
    """Return why a record stands for no customer: it is empty, repeats the header, has totals."""
    if not texts:
        return "empty"
    if all(column == text for column, text in texts.items()):
        return "header"
    first = next(iter(texts.values()))
    said = {text.strip(" :=.,0123456789").casefold() for text in (first, *contacts.values())}
    return "totals" if said <= _TOTALS else None


def _shop(text: str) -> str:
    if not text:
        raise UnusableCell("shop", "no shop: give --shop, or name a column with --map")
    try:
        return shop_from(text)
    except UnusableInputError as fault:
        raise UnusableCell("shop", f"the shop {fault}") from None
