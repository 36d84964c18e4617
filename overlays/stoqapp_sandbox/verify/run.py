"""Sends the probes, and drops the worlds that would have answered otherwise."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Final, Literal

from attrs import Factory, define, field

from stoqapp.answers import says_duplicate
from stoqapp.errors import (
    Answer,
    AnswerError,
    OutcomeUnknownError,
    RateLimitedError,
    StoqError,
)
from stoqapp.http.transport import Transport
from stoqapp.retry import deliver, plan
from stoqapp.settings import Settings
from stoqapp_sandbox.assumptions import ASSUMPTIONS, Assumptions
from stoqapp_sandbox.verify import signs
from stoqapp_sandbox.verify.probes import PROBES, WAITING, Ask, Look, Probe, Subject
from stoqapp_sandbox.verify.worlds import Heard, Sent, Step, World, spread

End = Literal["refused", "not sent", "unknown", "rate limited", "interrupted"]

_MOST_UNANSWERED: Final = 3
_MOST_WORLDS: Final = 300
_ENTRY: Final = ASSUMPTIONS


def sender(settings: Settings, transport: Transport) -> Callable[[Sent], Heard | None]:
    """Return what sends a request, paced, and returns what was heard; None for no answer.

    It is sent again as `stoqapp.Stoq` does it: where it was certainly not carried out.
    It raises NotSentError, RateLimitedError, or BudgetUnavailableError.
    """

    def send(sent: Sent) -> Heard | None:
        def post(seconds_left: float) -> Answer:
            return transport.post(sent.headers, sent.content, settings.timeout, seconds_left)

        try:
            return Heard.of(
                deliver(plan(settings.policy, settings.total_timeout), post, time.sleep).answer,
                sent,
            )
        except RateLimitedError:
            raise
        except AnswerError as error:
            return None if error.answer is None else Heard.of(error.answer, sent)
        except OutcomeUnknownError:
            return None

    return send


@define(eq=False)
class Inquiry:
    """What was asked, what was answered, and what can be so after that.

    Attributes:
        subject: On whose behalf is asked.
        expected: What is thought to hold.
        send: Sends a request; see `sender`.
        worlds: Those that would have answered as the service did.
        log: What was answered.
        asked: How many requests were sent.
        told: The entries that *worlds* differ in, or that have been looked at.
        odd: Entries for which no choice fits, with what was answered.
        unseen: Entries that an answer could have told of, and did not.
        unanswered: Entries that an answer would have told of which never came, with what came in
            its place; empty where nothing did.
        skipped: Why a probe was not sent, by its name.
        lost: Entries that an answer was not looked at for, because so much is open; once there is
            one, nothing more is concluded.
        waiting: Whether the customer was on the list before.
        end: What ended the run before its end.
        reason: The same for people.
    """

    subject: Subject
    expected: Assumptions
    send: Callable[[Sent], Heard | None]
    worlds: list[World] = Factory(
        lambda inquiry: [World({name: inquiry.expected[name] for name in inquiry.expected})],
        takes_self=True,
    )
    log: list[Heard | None] = field(factory=list)
    asked: int = 0
    told: set[str] = field(factory=set)
    odd: dict[str, str] = field(factory=dict)
    unseen: set[str] = field(factory=set)
    unanswered: dict[str, str] = field(factory=dict)
    skipped: dict[str, str] = field(factory=dict)
    lost: set[str] = field(factory=set)
    waiting: bool = False
    end: End | None = None
    reason: str = ""

    def go_through(
        self,
        probes: Sequence[Probe],
        keep: Callable[[Probe, int, Callable[[], Heard | None]], Heard | None],
    ) -> None:
        """Send *probes*, in this order, until something ends the run. A Ctrl-C does.

        Args:
            probes: What to ask.
            keep: Is handed each probe, the number of its request, and what sends it.
        """
        try:
            for probe in probes:
                if probe.only_new and self.waiting:
                    self.skipped[probe.name] = "the customer was on the list before"
                    continue
                for number, ask in enumerate(probe.asks, 1):
                    self._put(ask, partial(keep, probe, number))
                    if self.end:
                        return
        except KeyboardInterrupt:
            self.end, self.reason = "interrupted", "interrupted"
        except RateLimitedError as error:
            self.end, self.reason = "rate limited", str(error)
        except StoqError as error:
            self.end, self.reason = "not sent", str(error)

    def _put(self, ask: Ask, keep: Callable[[Callable[[], Heard | None]], Heard | None]) -> None:
        request = partial(ask.request, self.subject)
        sent = request(self.log)
        step = Step(request)
        if sent is None:
            self._note_no_answer(ask, Step(request, arrived=False, answered=False))
            return
        heard = keep(lambda: self.send(sent))
        self.asked += 1
        if heard and ask is PROBES[0].asks[0] and heard.status != 201:
            if not says_duplicate(heard.messages):
                self._end_at_first(heard)
                return
            self.waiting, ask = True, WAITING
            [world] = self.worlds
            self.worlds = [World(world.assumed, [], [sent])]
        if heard is None or not (_is_judgement(heard) or self._is_foretold(heard, ask, step)):
            self._go_without(ask, request, heard)
            return
        self.log.append(heard)
        for world in self.worlds:
            world.take(step)
        statuses = {before.status for world in self.worlds if (before := world.log[-1])}
        for look in ask.looks:
            statuses |= self._look(look)
        if heard.status not in statuses:
            self.worlds += self._untouched(request)

    def _end_at_first(self, heard: Heard) -> None:
        self.log.append(heard)
        refused = 200 <= heard.status < 500
        self.end = "refused" if refused else "unknown"
        self.reason = (
            f"the first request put nobody on the list: it was answered {_described(heard)}, and"
            " all else builds on it; check --shop, --variant and --product, and take another"
            " variant or address where the customer may wait for this one already"
        )

    def _is_foretold(self, heard: Heard, ask: Ask, step: Step) -> bool:
        """Whether a sandbox can answer with that status, for all that is known so far."""
        worlds = [world.copy() for world in self.worlds]
        for world in worlds:
            world.take(step)
        log = [*self.log, heard]
        open_ = [self._open(look, look.sign(log)) for look in ask.looks]
        return any(
            answer.status == heard.status
            for choices in open_
            if not self._is_too_much(choices)
            for world in spread(worlds, choices)
            if (answer := world.log[-1])
        )

    def _go_without(
        self,
        ask: Ask,
        request: Callable[[Sequence[Heard | None]], Sent | None],
        heard: Heard | None,
    ) -> None:
        """Go on after a request that nothing came of, or nothing but *heard*, which tells nothing.

        Either may hide that the request was carried out.
        """
        self._fork(request)
        came = f"answered {_described(heard)}, which tells nothing of it" if heard else ""
        self._note_no_answer(ask, None, came)
        last = self.log[-_MOST_UNANSWERED:]
        if len(last) == _MOST_UNANSWERED and not any(last):
            self.end = "unknown"
            self.reason = f"{_MOST_UNANSWERED} requests in a row went without an answer"
            if heard:
                self.reason += (
                    f" that tells anything; the last one was answered {_described(heard)}"
                )

    def _note_no_answer(self, ask: Ask, step: Step | None, came: str = "") -> None:
        self.log.append(None)
        self.unanswered |= {name: came for look in ask.looks for name in look.about}
        if step:
            for world in self.worlds:
                world.take(step)

    def _fork(self, request: Callable[[Sequence[Heard | None]], Sent | None]) -> None:
        """Go on with both: the request arrived, and it did not."""
        arrived = [world.copy() for world in self.worlds]
        for world, without in zip(arrived, self.worlds, strict=True):
            world.take(Step(request, answered=False))
            without.take(Step(request, arrived=False, answered=False))
        self.worlds += [
            world
            for world, without in zip(arrived, list(self.worlds), strict=False)
            if not world.holds_the_same(without)
        ]

    def _untouched(self, request: Callable[[Sequence[Heard | None]], Sent | None]) -> list[World]:
        """Return the worlds as they were before a request that no world answers as it was."""
        others = []
        for world in self.worlds:
            without = World(
                world.assumed, [*world.steps[:-1], Step(request, arrived=False)], world.unseen
            )
            if not world.holds_the_same(without):
                others.append(without)
        return others

    def _look(self, look: Look) -> set[int]:
        """Drop the worlds that show another sign; return the statuses that there were."""
        seen = look.sign(self.log)
        if seen is None:
            self.unseen |= set(look.about)
            return {heard.status for world in self.worlds if (heard := world.log[-1])}
        choices = self._open(look, seen)
        if self.lost or self._is_too_much(choices):
            self.lost |= set(look.about)
            return {heard.status for world in self.worlds if (heard := world.log[-1])}
        candidates = spread(self.worlds, choices)
        fitting = [world for world in candidates if _shows(world, look, seen)]
        if fitting:
            self.worlds = fitting
            for name in choices:
                if len(choices[name]) > 1 and self._learnt_nothing_of(name, choices[name]):
                    self.worlds = [w for w in self.worlds if w.assumed[name] == choices[name][0]]
                    self.unseen |= {name} & set(look.about)
                else:
                    self.told.add(name)
        else:
            heard = signs.last(self.log)
            self.odd |= dict.fromkeys(look.about, _described(heard))
        return {heard.status for world in candidates if (heard := world.log[-1])}

    def _learnt_nothing_of(self, name: str, choices: Sequence[str]) -> bool:
        """Whether each of *choices* fits in every world that is otherwise so."""
        known = [(world.assumed, world.steps, world.unseen) for world in self.worlds]
        first = [world for world in self.worlds if world.assumed[name] == choices[0]]
        return len(known) == len(first) * len(choices) and all(
            ({**world.assumed, name: choice}, world.steps, world.unseen) in known
            for world in first
            for choice in choices[1:]
        )

    def _open(self, look: Look, seen: Hashable) -> dict[str, list[str]]:
        """Return the choices of what *look* depends on and is not known yet."""
        new = dict.fromkeys(name for name in (*look.beside, *look.about) if name not in self.told)
        return {name: self._choices(name, look, seen) for name in new}

    def _is_too_much(self, choices: Mapping[str, Sequence[str]]) -> bool:
        return len(self.worlds) * prod(map(len, choices.values())) > _MOST_WORLDS

    def _choices(self, name: str, look: Look, seen: Hashable) -> list[str]:
        entry, expected = _ENTRY[name], self.expected[name]
        others: Iterable[str] = entry.choices
        if entry.number:
            numbers = look.numbers(self.expected.number(name), seen) if look.numbers else ()
            least, most = entry.number.least, entry.number.most
            others = [f"{number:.10g}" for number in numbers if least <= number <= most]
        return list(dict.fromkeys([expected, *others]))


def _shows(world: World, look: Look, seen: Hashable) -> bool:
    try:
        return signs.agrees(seen, look.sign(world.log))
    except LookupError:
        return False


def _is_judgement(heard: Heard) -> bool:
    """Whether the service took or refused the request; trouble and redirects are neither."""
    return 200 <= heard.status < 300 or 400 <= heard.status < 500


def _described(heard: Heard) -> str:
    return f"{heard.status} with {signs.shape_of(heard)}"
