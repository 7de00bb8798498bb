"""From the parameters of a feed to a timer, with the messages its users know. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from sabayon.provider.alarms.firing import failed
from sabayon.provider.alarms.schedule import moment_ms, next_due, next_match, zone
from sabayon.provider.alarms.timer import ADMIN, Moment, Reason, Timer

START_DELAY_MS: Final = 30_000
"""When an interval starts that says nothing about it."""
MAX_CRON_CHARS: Final = 200
FIVE: Final = 5
"""Fields of a pattern that names no seconds."""

Parameters = dict[str, Any]


class Invalid(Exception):
    """The parameters do not make a timer; the text is for their author."""


class Owner(NamedTuple):
    """Whose trigger it is, and the key to fire it with."""

    namespace: str
    name: str
    auth_key: str


class Policy(NamedTuple):
    """What the operator says about cron timers.

    has_seconds: whether patterns may name seconds. spread_s: over how many seconds of a minute timers that name none
    are spread, 0 to 59. is_strict: whether those that do not say so want to be left out of it.
    """

    has_seconds: bool = True
    spread_s: int = 0
    is_strict: bool = False


def new_timer(owner: Owner, given: Parameters, now_ms: int, policy: Policy = Policy()) -> Timer:  # noqa: B008 - immutable
    """The timer that `given` asks for, with its first due time. Raises Invalid."""
    bare = Timer(
        namespace=owner.namespace,
        name=owner.name,
        auth_key=owner.auth_key,
        kind=_kind(given),
        payload=_payload(given.get("trigger_payload")),
        changed_ms=now_ms,
    )
    made = {"once": _once, "interval": _interval, "cron": _cron}[bare.kind](bare, given, now_ms, policy)
    return replace(made, due_ms=next_due(made, now_ms))


def updated_timer(timer: Timer, given: Parameters, now_ms: int, policy: Policy = Policy()) -> Timer:  # noqa: B008
    """`timer` with what `given` changes, counted from zero, and active again unless it is never due. Raises Invalid.

    What may change depends on what the timer is, not on the feed that is asked.
    """
    if timer.reason is not None and timer.reason.kind == ADMIN:
        raise Invalid(
            f"/{timer.key} cannot be updated because it was disabled by an admin.  "
            "Please contact support for further assistance"
        )
    change = {"once": _changed_once, "interval": _changed_interval, "cron": _changed_cron}[timer.kind]
    changed = change(timer, given, now_ms, policy)
    if given.get("trigger_payload") not in (None, ""):
        changed = replace(changed, payload=_payload(given["trigger_payload"]))
    if not _is_any_supplied(timer, given):
        raise Invalid("no updatable parameters were specified")
    active = replace(changed, reason=None, fired=0, changed_ms=now_ms)
    due = next_due(active, now_ms)
    return replace(active, due_ms=due) if due is not None else active.disabled(_nothing_due(active, now_ms), now_ms)


def _nothing_due(timer: Timer, now_ms: int) -> Reason:
    if timer.kind == "once":
        return failed("creation", "the fire once date has expired")
    is_over = timer.stop_date is not None and moment_ms(timer.stop_date) <= now_ms
    text = "the stop date has expired" if is_over else "the next scheduled trigger fire is after the stop date"
    return failed("creation", text)


_UPDATABLE: Final = {
    "once": ("trigger_payload", "date", "deleteAfterFire"),
    "interval": ("trigger_payload", "minutes", "startDate", "stopDate"),
    "cron": ("trigger_payload", "cron", "timezone", "strict", "startDate", "stopDate"),
}


def _is_any_supplied(timer: Timer, given: Parameters) -> bool:
    return any(given.get(name) not in (None, "") for name in _UPDATABLE[timer.kind])


def _kind(given: Parameters) -> Any:
    if _flag(given.get("fireOnce")):
        return "once"
    return "interval" if _flag(given.get("isInterval")) else "cron"


def _once(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    if not given.get("date"):
        raise Invalid("alarms once trigger feed is missing the date parameter")
    date = _future(given, "date", now_ms)
    return replace(timer, date=date, delete_after_fire=_delete_after_fire(given))


def _interval(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    if not given.get("minutes"):
        raise Invalid("interval trigger feed is missing the minutes parameter")
    minutes = _minutes(given["minutes"])
    start = _future(given, "startDate", now_ms) if given.get("startDate") else now_ms + START_DELAY_MS
    stop, limit = _stop(given, now_ms, start, "maxTriggers is not supported for the interval trigger feed")
    return replace(timer, minutes=minutes, start_date=start, stop_date=stop, max_triggers=limit)


def _cron(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    if not given.get("cron"):
        raise Invalid("alarms trigger feed is missing the cron parameter")
    timezone = _timezone(given.get("timezone"))
    cron = _pattern(given["cron"], timezone, now_ms, policy)
    start = _future(given, "startDate", now_ms) if given.get("startDate") else None
    stop, limit = _stop(given, now_ms, start, "maxTriggers is not allowed when the stopDate parameter is specified")
    strict = policy.is_strict if given.get("strict") in (None, "") else _flag(given["strict"])
    made = replace(
        timer,
        cron=cron,
        timezone=timezone,
        strict=strict,
        second=_second(timer.name, cron, strict, policy),
        start_date=start,
        stop_date=stop,
        max_triggers=limit,
    )
    return _with_a_fire(made, now_ms)


def _with_a_fire(timer: Timer, now_ms: int) -> Timer:
    if next_due(timer, now_ms) is None:
        raise Invalid("the first scheduled trigger fire is not until after the stop date")
    return timer


def _changed_once(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    date = _future(given, "date", now_ms) if given.get("date") else timer.date
    is_given = given.get("deleteAfterFire") not in (None, "")
    return replace(
        timer, date=date, delete_after_fire=_delete_after_fire(given) if is_given else timer.delete_after_fire
    )


def _changed_interval(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    minutes = _minutes(given["minutes"]) if given.get("minutes") else timer.minutes
    start, stop = _changed_dates(timer, given, now_ms)
    return replace(timer, minutes=minutes, start_date=start, stop_date=stop)


def _changed_cron(timer: Timer, given: Parameters, now_ms: int, policy: Policy) -> Timer:
    timezone = _timezone(given["timezone"]) if given.get("timezone") else timer.timezone
    cron = _pattern(given.get("cron") or timer.cron, timezone, now_ms, policy)
    start, stop = _changed_dates(timer, given, now_ms)
    strict = timer.strict if given.get("strict") is None else _flag(given["strict"])
    second = _second(timer.name, cron, strict, policy)
    changed = replace(
        timer, cron=cron, timezone=timezone, strict=strict, second=second, start_date=start, stop_date=stop
    )
    is_rescheduled = any(given.get(name) for name in ("cron", "timezone", "startDate", "stopDate"))
    return _with_a_fire(changed, now_ms) if is_rescheduled else changed


def _changed_dates(timer: Timer, given: Parameters, now_ms: int) -> tuple[Moment | None, Moment | None]:
    start, stop = timer.start_date, timer.stop_date
    if given.get("startDate"):
        start = _future(given, "startDate", now_ms)
        if not given.get("stopDate") and stop is not None and moment_ms(start) >= moment_ms(stop):
            raise Invalid(f"startDate parameter '{start}' must be less than the stopDate parameter '{stop}'")
    if given.get("stopDate"):
        stop, _ = _stop({"stopDate": given["stopDate"]}, now_ms, start, "")
    return start, stop


def _stop(given: Parameters, now_ms: int, start: Moment | None, conflict: str) -> tuple[Moment | None, int]:
    """Stop date and greatest number of fires, of which only one may be given."""
    limit = _max_triggers(given.get("maxTriggers"))
    if not given.get("stopDate"):
        return None, limit
    if limit > 0:
        raise Invalid(conflict)
    stop = _future(given, "stopDate", now_ms)
    if start is not None and moment_ms(stop) <= moment_ms(start):
        raise Invalid(f"stopDate parameter '{stop}' must be greater than the startDate parameter '{start}'")
    return stop, limit


def _future(given: Parameters, name: str, now_ms: int) -> Moment:
    value = given[name]
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("neither a number nor text")
        moment = moment_ms(value)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{name} parameter '{value}' is not a valid Date") from error
    if moment <= now_ms:
        raise Invalid(f"{name} parameter '{value}' must be in the future")
    return value


def _minutes(value: Any) -> int:
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
        if number != int(number):
            raise ValueError("not integral")
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid("the minutes parameter must be an integer") from error
    if number <= 0:
        raise Invalid("the minutes parameter must be an integer greater than zero")
    return int(number)


def _second(name: str, cron: str, strict: bool, policy: Policy) -> int:
    """The second of the minute at which a timer fires whose pattern names none: the same for a name, everywhere."""
    if strict or len(cron.split()) != FIVE:
        return 0
    hashed = 0
    for character in name:
        hashed = _int32(hashed << 5) - hashed + ord(character)
    return abs(hashed) % (policy.spread_s + 1)


def _int32(number: int) -> int:
    """The low 32 bits as a signed number: as OpenWhisk's provider shifts, so that a timer keeps its second."""
    return ((number + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def _pattern(value: Any, timezone: str | None, now_ms: int, policy: Policy) -> str:
    try:
        if not isinstance(value, str) or len(value) > MAX_CRON_CHARS:
            raise ValueError("not a pattern")
        if next_match(value, timezone, now_ms) is None:
            raise ValueError("it never matches")
    except ValueError as error:
        raise Invalid(f"cron pattern '{str(value)[:MAX_CRON_CHARS]}' is not valid") from error
    if not policy.has_seconds and len(value.split()) != FIVE and value.split()[0] != "0":
        raise Invalid("cron pattern is limited to 5 fields with 1 minute as the finest granularity")
    return value


def _timezone(value: Any) -> str | None:
    if value in (None, ""):
        return None
    try:
        zone(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise Invalid("Invalid timezone.") from error
    return str(value)


def _delete_after_fire(given: Parameters) -> str | None:
    value = given.get("deleteAfterFire")
    if value is None or value == "":
        return None
    text = str(value).strip().lower()
    if text not in ("false", "true", "rules"):
        raise Invalid("deleteAfterFire parameter must be one of [false, true, rules].")
    return text


def _max_triggers(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
    return number if number > 0 else -1


def _payload(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {} if value is None else {"payload": value}


def _flag(value: Any) -> bool:
    return str(value).strip().lower() == "true"
