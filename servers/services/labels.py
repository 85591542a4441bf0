"""Labels: words that servers share, made when first used and gone when nobody wears them."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from phpborg.errors import InvalidInput
from servers.models import Label, Server


def parse(text: str) -> list[str]:
    """“web, paris” → names, each once, in order. Raises InvalidInput."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        try:
            Label(name=name).clean_fields()
        except ValidationError as error:
            raise InvalidInput(field=str(_("labels")), problem=f"{name[:60]}: {' '.join(error.messages)}") from error
    return names


def set_labels(*, server: Server, names: Iterable[str]) -> None:
    """The server wears exactly these labels."""
    with transaction.atomic():
        server.labels.set([Label.objects.get_or_create(name=name)[0] for name in names])
        _forget_unused()


def add_label(*, servers: Iterable[Server], name: str) -> int:
    """Every one of these servers wears the label; answers how many are new."""
    [name] = parse(name) or [""]
    if not name:
        raise InvalidInput(field=str(_("label")), problem=str(_("Write a word.")))
    with transaction.atomic():
        label, _created = Label.objects.get_or_create(name=name)
        wearing = set(label.servers.values_list("pk", flat=True))  # type: ignore[attr-defined]
        fresh = [server for server in servers if server.pk not in wearing]
        label.servers.add(*fresh)  # type: ignore[attr-defined]
    return len(fresh)


def remove_label(*, servers: Iterable[Server], name: str) -> int:
    """None of these servers wears the label; answers how many did."""
    ids = [server.pk for server in servers]
    with transaction.atomic():
        gone, _details = Server.labels.through.objects.filter(server_id__in=ids, label__name=name).delete()
        _forget_unused()
    return gone


def _forget_unused() -> None:
    Label.objects.filter(servers__isnull=True).delete()
