"""The form of a job's proofs: when, how deep, where databases are started, and what they are asked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.forms.wizard import ScheduleForm
from backups.models import BackupJob
from phpborg.errors import InvalidInput
from recovery.checks import queries
from recovery.models import Depth, ProofPlan
from recovery.services import drills, proof_schedules
from servers.models import Server

PLAIN = {"spellcheck": "false", "autocomplete": "off"}


class ProofPlanForm(ScheduleForm):
    """The rhythm is chosen as that of a job is. Services check again; here the field gets the sentence."""

    depth = forms.TypedChoiceField(label=_("Depth"), coerce=int, choices=Depth.choices, widget=forms.RadioSelect)
    sample_percent = forms.IntegerField(
        label=_("Share that is read (%)"),
        min_value=1,
        max_value=100,
        help_text=_("100 reads everything. Less reads whole files chosen by chance, other ones each time."),
    )
    server = forms.ModelChoiceField(
        Server.objects.none(),
        label=_("Databases are started on"),
        required=False,
        empty_label=_("This machine"),
        help_text=_("A server with a Docker engine and the images of the databases."),
    )
    image = forms.CharField(
        label=_("Image"),
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs=PLAIN),
        help_text=_("Empty: the configured one for the version that is found."),
    )
    docker = forms.CharField(
        label=_("Docker socket"),
        required=False,
        max_length=400,
        widget=forms.TextInput(attrs=PLAIN),
        help_text=_("Empty: the one that was seen on that server."),
    )
    queries = forms.CharField(
        label=_("Queries"),
        required=False,
        max_length=200_000,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 8, "placeholder": "@ shop\nSELECT count(*) FROM orders\n= 1042"}),
        help_text=_(
            "“@ DATABASE” begins a query; lines that begin with “=” are the rows that must come, columns apart by "
            "“ | ”. Without such a line the query only has to be answered. For MongoDB a query is a command as JSON "
            "that reads, and a row is a document; for Elasticsearch and OpenSearch it is the body of a search, or "
            "GET /PATH."
        ),
    )
    overdue_days = forms.IntegerField(
        label=_("Overdue after (days)"),
        required=False,
        min_value=1,
        max_value=3660,
        help_text=_("Without a good proof for so long the job is said to be overdue. Empty: never."),
    )
    enabled = forms.BooleanField(label=_("Prove by schedule"), required=False)

    def __init__(self, *args: Any, job: BackupJob, **kwargs: Any) -> None:
        super().__init__(*args, seed=proof_schedules.seed_of(job), **kwargs)
        self.job = job
        provider = drills.provider_for(job.source_kind)
        if provider is not None:
            self.fields["queries"].help_text = provider.query_help()
        server: Any = self.fields["server"]
        server.queryset = Server.objects.ready().exclude(kind=Server.Kind.LOCAL).order_by("name")

    @classmethod
    def of(cls, job: BackupJob, plan: ProofPlan | None, zone: str, data: Any = None) -> ProofPlanForm:
        """Filled with what is there; without a plan with a proof every month."""
        shown = plan or ProofPlan(job=job, cron="0 4 1 * *", zone=zone)
        return cls(
            data,
            job=job,
            initial={
                **cls.initial_of({"cron": shown.cron, "zone": shown.zone}, zone),
                "depth": shown.depth,
                "sample_percent": shown.sample_percent,
                "server": shown.server_id,
                "image": shown.image,
                "docker": shown.docker,
                "queries": queries.text_of(queries.from_json(shown.queries)),
                "overdue_days": shown.overdue_days,
                "enabled": shown.enabled,
            },
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        try:
            cleaned["asked"] = queries.parse(cleaned.get("queries", ""))
        except InvalidInput as error:
            self.add_error("queries", str(error.facts["problem"]))
            return cleaned
        if cleaned["asked"] and cleaned.get("depth") not in (None, Depth.START):
            self.add_error("queries", _("Queries are asked only when the databases are started: choose that depth."))
        return cleaned

    def save(self) -> ProofPlan:
        """The plan as answered."""
        data = self.cleaned_data
        return proof_schedules.set_plan(
            job=self.job,
            cron=data["text"],
            zone=data["zone"],
            depth=data["depth"],
            sample_percent=data["sample_percent"],
            server=data["server"],
            docker=data["docker"],
            image=data["image"],
            queries=data["asked"],
            overdue_days=data["overdue_days"],
            enabled=data["enabled"],
        )
