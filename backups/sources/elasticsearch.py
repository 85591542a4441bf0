"""Elasticsearch and OpenSearch: their own snapshots by the API, or a snapshot of the volume."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import source_errors as e
from backups.sources import contents, frozen
from backups.sources import databases as shared
from backups.sources.base import Consistency, Freeze, SourcePlan, View
from backups.sources.databases import DatabaseSource, Method, Row, Seen
from servers.capabilities.databases import Node
from servers.capabilities.report import Report
from servers.capabilities.storage import normal


class ElasticsearchSource(DatabaseSource[Node]):
    """One node."""

    kind = "elasticsearch"
    label = gettext_lazy("Elasticsearch / OpenSearch")
    longest_name = 255
    methods = (
        Method(
            "api",
            gettext_lazy("Its own snapshot"),
            gettext_lazy(
                "Lets the node write a snapshot of all indices and of the cluster's state into a directory of its own, "
                "backs that up and removes it. The node proves that no shard is missing."
            ),
            Consistency.PHYSICAL,
        ),
        Method(
            "snapshot",
            gettext_lazy("Snapshot of its volume"),
            gettext_lazy(
                "Freezes all data directories of the node at one moment, as after a power cut. Of a cluster with "
                "several nodes that is the part of this node alone."
            ),
            Consistency.CRASH,
            needs_login=False,
        ),
    )

    def instances(self, report: Report) -> tuple[Node, ...]:
        """All nodes."""
        return report.elasticsearch.nodes if report.elasticsearch else ()

    def access(self, instance: Node, login: Row) -> Row:
        """By HTTP. Raises InstanceUnclear."""
        return {"url": self.need(instance, instance.url, _("its address is not known")), "login": login}

    def make(self, seen: Seen[Node]) -> SourcePlan:
        """By its method."""
        return self._api(seen) if seen.method.name == "api" else self._snapshot(seen)

    def _api(self, seen: Seen[Node]) -> SourcePlan:
        node = seen.instance
        place = self._repository(node)
        files = frozen.config_paths(seen, [place])
        included = [shared.data_row(place), *map(shared.config_row, files)]
        freeze = Freeze(
            kind="elasticsearch",
            arguments={"kind": "elasticsearch", **self.access(node, seen.login), "path_repo": place},
            views=(View("/", place),),
            sentence=_(
                "Registers a repository of snapshots below {path} and waits until one of everything is whole."
            ).format(path=place),
            undo=_("The snapshot, its repository and its directory are removed, whatever happens."),
        )
        return SourcePlan(
            paths=tuple(frozen.as_path(path) for path in (place, *files)),
            sentences=(
                _("It is written below {path}, which needs room for all indices once more.").format(path=place),
                *contents.files_words(len(files)),
            ),
            freeze=freeze,
            database=self.record(seen, included, (), path_repo=place, **_facts(node)),
        )

    def _repository(self, node: Node) -> str:
        """The first directory for snapshots. Raises RepositoryPathMissing."""
        place = next((path for path in node.path_repo if path.startswith("/") and normal(path) != "/"), None)
        if place is None:
            file = next((path for path in node.config_files if path.endswith(".yml")), "elasticsearch.yml")
            raise self.error(e.RepositoryPathMissing, node, file=file, owner=node.owner or "elasticsearch")
        return normal(place)

    def _snapshot(self, seen: Seen[Node]) -> SourcePlan:
        node = seen.instance
        for directory in node.data:
            self.data_path(node, directory)
        places = [directory.path or "" for directory in node.data]
        reading = frozen.Reading(
            hold=None,
            included=[shared.data_row(place) for place in places],
            facts=_facts(node),
            # A node that starts from the archive makes its own lock; before version 8 it lay deeper.
            excludes=tuple(f"pf:{place}{lock}" for place in places for lock in ("/node.lock", "/nodes/0/node.lock")),
            sentences=(_("All its indices keep working meanwhile; each recovers from its own log."),),
        )
        return frozen.snapshot(self, seen, reading)


def _facts(node: Node) -> Row:
    return {
        "flavour": node.flavour,
        "cluster_name": node.cluster_name,
        "url": node.url,
        "data_directories": [directory.path for directory in node.data],
        "indices": node.indices,
        "config_files": list(node.config_files),
    }
