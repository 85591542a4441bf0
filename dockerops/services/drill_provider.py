"""Drills of Docker archives, as proofs know them (recovery/services/drills.py)."""

from __future__ import annotations

from django.utils.translation import gettext as _

from dockerops.drill_plan import BASE
from recovery.models import Proof
from recovery.services import drills
from recovery.services.plan import PlanStep


class DockerDrill:
    """The provider for archives of Docker jobs."""

    evidence = "dockerops/_drill.html"

    def query_help(self) -> str:
        """Targets and expectations, see drill_checks.py."""
        return _(
            "“@ SERVICE/DATABASE” begins a query in SQL, “@ SERVICE:PORT/PATH” with the line “HTTP” below it asks a "
            "page. Lines that begin with “=” are what must come: rows with columns apart by “ | ”, a status such as "
            "200, or words of the page. “= younger than 24 h” wants the first row to be a moment so long before the "
            "archive at most."
        )

    def steps(self, proof: Proof) -> list[PlanStep]:
        """In the order of `drilling.DrillRun`."""
        config = (proof.archive.backup_config if proof.archive else None) or {}
        items = (config.get("docker") or {}).get("actual_backed_up_items") or {}
        facts = {name: str(len(items.get(name) or [])) for name in ("containers", "volumes", "networks")}
        undo = _("It is removed with the drill, whatever its end is.")
        found = [
            PlanStep("drill-read", _("Read from the archive how its containers are made.")),
            PlanStep(
                "drill-whole",
                _("Compare the archive's files with its own list: {volumes} volumes, Compose and environment files."),
                facts=facts,
            ),
            PlanStep("drill-plan", _("Plan the drill as a restore beside the originals, of what can reach nothing.")),
            PlanStep(
                "drill-start",
                _(
                    "Start {containers} containers in the order of their dependencies, with other names, in networks "
                    "that lead nowhere, without published ports, with copies of their volumes and files."
                ),
                touches=(BASE,),
                undo=undo,
                facts=facts,
            ),
            PlanStep("drill-states", _("Compare images, states and health with those of the backup.")),
            PlanStep("drill-databases", _("Read every database in them whole.")),
        ]
        if proof.queries:
            words = _("Ask {count} queries and compare their answers with what is expected.")
            found.append(PlanStep("drill-questions", words, facts={"count": str(len(proof.queries))}))
        found.append(PlanStep("drill-remove", _("Remove everything that the drill has made.")))
        return found

    def carry_out(self, stage: drills.Stage) -> bool:
        """See services/drilling.py."""
        from dockerops.services.drilling import DrillRun

        return DrillRun(stage).run()
