"""Old proofs go with what they saw: of each job the last ones stay, and those that an archive's stamp stands on."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery

from recovery.models import Proof

log = logging.getLogger(__name__)
BATCH = 500


def forget() -> int:
    """Remove ended proofs beyond PHPBORG_PROOFS_KEPT of their job; how many went.

    The newest good one of a job stays however old it is: whether its proofs are overdue is told by it. So does the
    newest good one of each archive that is still there.
    """
    gone = 0
    for chosen in _batches():
        gone += Proof.objects.exclude(state__in=Proof.ACTIVE).filter(pk__in=chosen).delete()[0]
    if gone:
        log.info("%s old proofs were forgotten", gone)
    return gone


def _batches() -> Iterator[list[uuid.UUID]]:
    good = Proof.objects.filter(state=Proof.State.PROVEN).order_by("-created_at")
    rows = Proof.objects.exclude(state__in=Proof.ACTIVE).annotate(
        last_of_job=Subquery(good.filter(job=OuterRef("job")).values("pk")[:1]),
        last_of_archive=Subquery(good.filter(archive=OuterRef("archive")).values("pk")[:1]),
        archive_is_there=Q(archive__isnull=False, archive__missing_at__isnull=True, archive__trashed_at__isnull=True),
    )
    for job in list(Proof.objects.order_by().values_list("job", flat=True).distinct()):
        own = rows.filter(job=job) if job else rows.filter(job__isnull=True)
        columns = ("pk", "last_of_job", "last_of_archive", "archive_is_there")
        old = list(own.order_by("-created_at").values_list(*columns)[settings.PROOFS_KEPT :])
        left = [pk for pk, of_job, of_archive, there in old if pk != of_job and not (there and pk == of_archive)]
        for first in range(0, len(left), BATCH):
            yield left[first : first + BATCH]
