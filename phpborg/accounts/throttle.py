"""Guessing passwords gets slower and slower: after five failures each further one doubles the wait.

Counted for name and address together (a stranger cannot lock somebody out from elsewhere) and, with
a higher allowance, for the address alone (one host that tries many names).
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from phpborg.accounts.models import SignInFailure

FREE_OF_NAME, FREE_OF_ADDRESS = 5, 30
LONGEST_SECONDS = 900
FORGET_AFTER = timedelta(days=1)


def _keys(name: str, address: str) -> dict[str, int]:
    """Key → failures that cost nothing yet."""
    address = _network(address)
    both = hashlib.sha256(f"{name.casefold()}\0{address}".encode("utf-8", "replace")).hexdigest()
    alone = hashlib.sha256(f"\0{address}".encode()).hexdigest()
    return {both: FREE_OF_NAME, alone: FREE_OF_ADDRESS}


def _network(address: str) -> str:
    """A home has a whole /64 of IPv6 addresses: they count as one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, 64), strict=False))


def wait_seconds(name: str, address: str) -> int:
    """How long this attempt has to wait; 0 when it may be made."""
    allowances = _keys(name, address)
    longest = 0.0
    for row in SignInFailure.objects.filter(key__in=allowances):
        over = row.count - allowances[row.key]
        if over >= 0:
            until = row.last_at + timedelta(seconds=min(2 ** min(over + 1, 20), LONGEST_SECONDS))
            longest = max(longest, (until - timezone.now()).total_seconds())
    return int(longest) + 1 if longest > 0 else 0


def begin(name: str, address: str) -> int:
    """How long to wait; 0: the attempt may be made and counts as a failure until it has `succeeded`.

    It counts before the password is looked at, so that many at once are as slow as one after the other.
    """
    with transaction.atomic():
        for key in _keys(name, address):
            SignInFailure.objects.get_or_create(key=key, defaults={"count": 0, "last_at": timezone.now()})
        list(SignInFailure.objects.select_for_update().filter(key__in=_keys(name, address)).order_by("key"))
        seconds = wait_seconds(name, address)
        if not seconds:
            failed(name, address)
    return seconds


def failed(name: str, address: str) -> None:
    """Count a failure."""
    now = timezone.now()
    SignInFailure.objects.filter(last_at__lt=now - FORGET_AFTER).delete()
    for key in _keys(name, address):
        if not SignInFailure.objects.filter(key=key).update(count=F("count") + 1, last_at=now):
            SignInFailure.objects.get_or_create(key=key, defaults={"count": 1, "last_at": now})


def succeeded(name: str, address: str) -> None:
    """The right password forgets the failures of this name here."""
    both, alone = _keys(name, address)
    SignInFailure.objects.filter(key=both).delete()
    SignInFailure.objects.filter(key=alone, count__gt=0).update(count=F("count") - 1)
