"""Compose files of a project that is restored under another name: what is changed in them, letter by letter."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from django.test import Client

from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.compose_diff import difference
from dockerops.compose_edits import Rewriting, rewriting
from dockerops.compose_reading import found_in, wanted
from dockerops.compose_yaml import Document
from dockerops.manifest import Container, Contents, Network, Project, Volume, parse
from dockerops.models import DockerRestore
from dockerops.naming import names_for
from dockerops.options import Options
from dockerops.plan import DockerPlan, Step
from dockerops.planning import plan_docker
from dockerops.selecting import Selected
from phpborg.accounts.models import User
from servers.remote.dockers import edits
from tests.dockerops import rows, sample
from tests.dockerops.test_conflicts import ABOUT
from tests.dockerops.test_wizard_pages import at

FILE, ENV = "/opt/app/compose.yml", "/opt/app/.env"
PROJECT = Project("kiosk", "/opt/app", (FILE,), paths=("/etc/app.conf", "/opt/app", "/opt/shared"))
COPY = Options(placement="other_project", project_name="copy", ports="shift")
SECRETS = ("hunter2", "hunter3", "hunter4")


def contents(text: str, env: str | None = "COMPOSE_PROJECT_NAME=kiosk\n", **more: Any) -> Contents:
    """Of one project with these files."""
    found = Contents(
        projects=(PROJECT,),
        containers=(Container("kiosk_web_1", project="kiosk", service="web"),),
        volumes=(Volume("kiosk_data", project="kiosk"), Volume("corp")),
        networks=(Network("kiosk_default", project="kiosk"), Network("proxy", external=True)),
    )
    texts: dict[str, bytes | None] = {FILE: text.encode()} | ({} if env is None else {ENV: env.encode()}) | more
    return replace(found, compose_files=found_in(found, texts))


def rewritten(found: Contents, options: Options = COPY) -> Rewriting:
    selected = Selected(
        projects=found.projects,
        containers=found.containers,
        volumes=found.volumes,
        networks=found.networks,
        paths=PROJECT.paths,
    )
    return rewriting(found, selected, names_for(found, selected, options), options)


def after(text: str, env: str | None = "COMPOSE_PROJECT_NAME=kiosk\n", options: Options = COPY) -> tuple[str, str]:
    """The Compose file and the `.env` with their edits; each edit can be undone."""
    found = contents(text, env)
    assert Contents.from_json(json.loads(json.dumps(found.public().as_json()))).compose_files == found.compose_files
    made = {}
    for row in rewritten(found, options).files:
        before = (text if row["path"].endswith(FILE) else env or "").encode()
        content = edits.applied(before, row["edits"])
        assert edits.applied(content, edits.inverse(row["edits"])) == before
        made[row["path"]] = content.decode()
    base = "/srv/copy" if options.placement == "other_project" else options.path
    return made.get(base + FILE, text), made.get(base + ENV, env or "")


def by_hand(text: str, env: str | None = None, options: Options = COPY) -> list[tuple[Any, Any]]:
    """(line, key) of what is left to people."""
    return [(one.facts["line"], one.facts["key"]) for one in rewritten(contents(text, env), options).notes]


def service(*lines: str) -> str:
    return "services:\n  web:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (service('ports: ["80:80"]  # é'), service('ports: ["10080:80"]  # é')),
        (service("ports:", "- 8080:80", "- '127.0.0.1:53:53/udp'  # why"),
         service("ports:", "- 18080:80", "- '127.0.0.1:10053:53/udp'  # why")),
        (service("ports:", "  - 6000-6002:6000-6002/udp", '  - "[::1]:7:7"'),
         service("ports:", "  - 16000-16002:6000-6002/udp", '  - "[::1]:10007:7"')),
        (service("ports: [90, 127.0.0.1::91]"), service("ports: [90, 127.0.0.1::91]")),
        (service("ports: [{target: 9, published: 9009, protocol: udp}]"),
         service("ports: [{target: 9, published: 19009, protocol: udp}]")),
        (service('ports: ["${PORT:-5432}:5432"]'), service('ports: ["${PORT:-15432}:5432"]')),
        (service("container_name: 'kiosk_web'"), service("container_name: 'copy_web'")),
        (service("container_name: front"), service("container_name: front-copy")),
        (service("network_mode: container:kiosk_web_1"), service("network_mode: container:copy_web_1")),
        (service("volumes: ['/etc/app.conf:/a:ro', ./x:/x, ../shared:/s, data:/d, /run/docker.sock:/s]"),
         service("volumes: ['/srv/copy/etc/app.conf:/a:ro', ./x:/x, ../shared:/s, data:/d, /run/docker.sock:/s]")),
        (service("volumes: [../kept:/kept]"), service("volumes: [/opt/kept:/kept]")),
        (service("volumes: [{type: bind, source: /opt/shared/a, target: /a}]"),
         service("volumes: [{type: bind, source: /srv/copy/opt/shared/a, target: /a}]")),
        (service("env_file: /opt/app/web.env"), service("env_file: /srv/copy/opt/app/web.env")),
        (service("build: {context: /opt/app/web}"), service("build: {context: /srv/copy/opt/app/web}")),
        ("name: kiosk\n" + service("image: x"), "name: copy\n" + service("image: x")),
        ("volumes:\n  data:\n    name: kiosk_data\n", "volumes:\n  data:\n    name: copy_data\n"),
        ("volumes: {d: {name: '${COMPOSE_PROJECT_NAME}_data'}}\n",
         "volumes: {d: {name: '${COMPOSE_PROJECT_NAME}_data'}}\n"),
        ("volumes:\n  corp:\n    external: true  # theirs\n",
         "volumes:\n  corp:\n    external: true  # theirs\n    name: corp_copy\n"),
        ("volumes: {corp: {external: true}}\n", "volumes: {corp: {external: true, name: corp_copy}}\n"),
        ("volumes: {x: {external: {name: corp}}}\n", "volumes: {x: {external: {name: corp_copy}}}\n"),
        ("networks: {default: {name: kiosk_default}}\n", "networks: {default: {name: copy_default}}\n"),
        ("networks: {proxy: {external: true}}\n", "networks: {proxy: {external: true}}\n"),
        ("x: &b\n  ports: ['80:80']\nservices: {a: {<<: *b}, b: {<<: *b}}\n",
         "x: &b\n  ports: ['10080:80']\nservices: {a: {<<: *b}, b: {<<: *b}}\n"),
        ("\ufeffservices: {é: {ports: ['80:80'], labels: ['é']}}\r\n",
         "\ufeffservices: {é: {ports: ['10080:80'], labels: ['é']}}\r\n"),
    ],
)  # fmt: skip
def test_only_what_names_something_is_changed(before: str, now: str) -> None:
    assert after(before) == (now, "COMPOSE_PROJECT_NAME=copy\n")
    yaml.safe_load(now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, "COMPOSE_PROJECT_NAME=copy\n"),
        ("A=b", "A=b\nCOMPOSE_PROJECT_NAME=copy\n"),
        ("A=b\n", "A=b\nCOMPOSE_PROJECT_NAME=copy\n"),
        ("# é\nexport COMPOSE_PROJECT_NAME='kiosk' # x\r\nA=b\r\n",
         "# é\nexport COMPOSE_PROJECT_NAME='copy' # x\r\nA=b\r\n"),
        ("COMPOSE_PROJECT_NAME=\n", "COMPOSE_PROJECT_NAME=copy\n"),
    ],
)  # fmt: skip
def test_the_name_of_the_project_is_said_where_every_compose_reads_it(before: str | None, now: str) -> None:
    """The directory keeps its name: without this line, Compose would take the copy for the original."""
    assert after(service("image: x"), before)[1] == now


def test_a_port_is_changed_where_it_is_defined() -> None:
    text = service('ports: ["${PORT}:80"]')
    assert after(text, "PORT=8080\nCOMPOSE_PROJECT_NAME=kiosk\n") == (
        text,
        "PORT=18080\nCOMPOSE_PROJECT_NAME=copy\n",
    )


@pytest.mark.parametrize(
    ("text", "env", "told"),
    [
        (service('ports: ["${PORT}:80"]'), "", [(3, "services.web.ports[0]")]),
        (service('ports: ["${PORT}:${PORT}"]'), "PORT=8080\n", [(1, "services.web.ports[0]")]),
        (service('ports: ["${PORT}:80"]', "environment: ['URL=http://x:$PORT']"), "PORT=8080\n",
         [(1, "services.web.ports[0]")]),
        (service('ports: ["${PORT}:80"]'), "PORT=1\nPORT=2\n", [(3, "services.web.ports[0]")]),
        (service("ports: ['${ALL}']"), "ALL=8080:80\n", [(3, "services.web.ports[0]")]),
        (service("ports: ['60000:80']"), "", [(3, "services.web.ports[0]")]),
        (service("container_name: &x web"), "", [(3, "services.web.container_name")]),
        (service('container_name: "w\\x65b"'), "", [(3, "services.web.container_name")]),
        (service("networks: {default: {ipv4_address: 10.0.0.2}}"), "",
         [(3, "services.web.networks.default.ipv4_address")]),
        ("include: [other.yml]\n", "", [(1, "include")]),
    ],
)  # fmt: skip
def test_what_is_not_clear_stays_and_is_told(text: str, env: str, told: list[tuple[int, str]]) -> None:
    assert after(text, env)[0] == text
    assert by_hand(text, env) == told


@pytest.mark.parametrize(
    "text", ["a: [", "- a\n", "a: 1\na: 2\nb: {<<: 3}\n", "a: 1\n---\nb: 2\n", "[" * 3000, "a: \x00"]
)
def test_a_file_that_nobody_understands_stays_and_is_told(text: str) -> None:
    made = rewritten(contents(text))
    assert [row["path"] for row in made.files] == ["/srv/copy/opt/app/.env"]
    assert [(one.code, one.facts) for one in made.notes] == [("compose_unread", {"path": f"/srv/copy{FILE}"})]
    assert FILE in made.notes[0].sentence


def test_a_link_and_an_environment_over_several_lines_stay() -> None:
    for found in (contents(service("image: x"), **{ENV: None}), contents(service("image: x"), "A='b\nc'\n")):
        made = rewritten(found)
        assert (made.files, [one.code for one in made.notes]) == ([], ["compose_unread"])


def test_a_file_that_was_made_to_fill_a_memory_fills_none() -> None:
    many = "".join(f"    - '$A$A$A:{number}'\n" for number in range(1000))
    text = f"services:\n  {'x' * 100_000}:\n    volumes:\n{many}    ports:\n{many}"
    found = contents(text, f"A=/{'a' * 200_000}\n")
    assert len(json.dumps(found.as_json())) < 3_000_000


_DOUBLED = "x0: &x0 {a: 1}\n" + "".join(f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}\n" for n in range(1, 26))
_LONG = "y" * 60_000


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        # Each table is twice in the next one: 2^25 tables, were each made whenever it is named.
        (_DOUBLED + "services: {web: {<<: *x25, ports: ['80:80']}}\n", True),
        ("x: &x {" + ", ".join(f"k{n}: 1" for n in range(5000)) + f"}}\ny: {{<<: [{'*x, ' * 8_000}]}}\n"
         "services: {web: {<<: *x}}\nname: &n {<<: [" + "*x, " * 4000 + "]}\nvolumes: *n\n", False),
        (f"x: &x ['{_LONG}:/a']\nservices:\n" + "".join(f"  s{n}: {{volumes: *x}}\n" for n in range(1500)), False),
        ("services: {web: {volumes: [&x '" + ":" * 60_000 + "'" + ", *x" * 10_000 + "]}}\n", False),
        ("é: 1\nservices: {web: {volumes: [" + "./a:/b, " * 4000 + "]}}\n", False),
    ],
    ids=("doubled", "merged", "listed", "named", "many"),
)  # fmt: skip
def test_few_letters_do_not_make_much_work(text: str, is_read: bool) -> None:
    started = time.process_time()
    Document(text)
    parsed = time.process_time() - started
    found = {one.path: one for one in contents(text).compose_files}[FILE]
    assert time.process_time() - started - 2 * parsed < 2
    assert found.unread is not is_read
    if is_read:
        assert ("port", "80") in [(one.kind, one.value) for one in found.sites]


def test_no_file_is_made_where_the_directory_may_be_a_link() -> None:
    """The archive has no Compose file below this path: the path leads over a link."""
    found = contents("")
    found = replace(found, compose_files=found_in(found, {}))
    made = rewritten(found)
    assert made.files == []
    assert [(one.code, one.facts["path"]) for one in made.notes] == [
        ("compose_unread", f"/srv/copy{FILE}"),
        ("by_hand", f"/srv/copy{ENV}"),
    ]


def test_ports_that_are_not_published_are_taken_out() -> None:
    none = replace(COPY, ports="none")
    for text in (
        service("ports:", '- "80:80"', "- 443:443", "image: x"),
        service("ports: [1:1, {target: 2}]", "image: x"),
    ):
        assert after(text, options=none)[0] == service("ports: []", "image: x")
    commented = service("ports:", '- "80:80"  # why', "- 443:443")
    assert by_hand(commented, options=none) == [(3, "services.web.ports")]


def test_names_that_yaml_would_take_for_a_number_get_quotes() -> None:
    options = replace(COPY, project_name="12", path="/srv/copy")
    assert after("name: kiosk\n" + service("container_name: kiosk"), options=options) == (
        'name: "12"\n' + service("container_name: kiosk-12"),
        "COMPOSE_PROJECT_NAME=12\n",
    )


@pytest.mark.parametrize("name", ["2024-13-45", "0x_", "0b_", "0o8"])
def test_a_name_that_begins_like_a_number_or_a_day_and_is_none(name: str) -> None:
    options = Options(placement="other_project", project_name=name, ports="shift")
    made = rewritten(contents("name: kiosk\n" + service("image: x")), options)
    assert [row["edits"][0]["new"].strip('"') for row in made.files] == [f"{name}", f"{name}"]


def test_another_path_alone_moves_paths_and_nothing_else() -> None:
    text = service("container_name: kiosk", "ports: ['80:80']", "volumes: [/opt/shared:/s]")
    options = Options(placement="other_path", path="/restored")
    now = text.replace("/opt/shared:", "/restored/opt/shared:")
    assert after(text, options=options) == (now, "COMPOSE_PROJECT_NAME=kiosk\n")


def test_in_place_and_in_a_drill_nothing_is_changed() -> None:
    found = contents(service("container_name: kiosk", "ports: ['80:80']"))
    for options in (Options(), Options(placement="drill", path="/x", project_name="d", ports="none")):
        made = rewritten(found, options)
        assert (made.files, made.notes, made.known) == ([], [], False)


def test_no_secret_of_the_files_is_kept_or_shown() -> None:
    text = service(
        "container_name: ${NAME}",
        "environment: {PASSWORD: hunter2}",
        "ports: ['${PORT}:80']",
        "volumes: ['${PLACE}:/x']",
    )
    env = "NAME=hunter3\nPORT=hunter4\nPLACE=hunter2\nPASSWORD=hunter3\n"
    found = contents(text, env)
    made = rewritten(found)
    step = Step(1, "rewrite_files", {"files": made.files}, facts={"count": 1})
    kept = json.dumps(
        [found.as_json(), DockerPlan("a", "b", "c", "d", "e", (step,), notes=tuple(made.notes)).as_json()]
    )
    told = difference(step) + " ".join(one.sentence for one in made.notes)
    assert not [secret for secret in SECRETS if secret in kept or secret in told]
    assert len(made.notes) == 3


def test_the_difference_is_of_words_and_not_of_lines() -> None:
    text = service("{environment: {PASSWORD: hunter2}, container_name: kiosk}").replace("web:\n    ", "web: ")
    step = Step(1, "rewrite_files", {"files": rewritten(contents(text, None)).files})
    assert difference(step).splitlines() == [
        "--- /dev/null",
        "+++ /srv/copy/opt/app/.env",
        "@@ 1 @@ COMPOSE_PROJECT_NAME",
        "+COMPOSE_PROJECT_NAME=copy",
        "--- /srv/copy/opt/app/compose.yml",
        "+++ /srv/copy/opt/app/compose.yml",
        "@@ 2 @@ services.web.container_name",
        "-kiosk",
        "+kiosk-copy",
    ]
    assert difference(Step(1, "start", {})) == ""


def test_a_manifest_says_nothing_of_compose_files_itself() -> None:
    raw = {"format": 1, "compose_files": [{"path": "/etc/shadow", "project": "x", "directory": "/"}]}
    assert parse(json.dumps(raw)).compose_files == ()


def test_the_files_that_are_read_are_those_of_projects() -> None:
    assert wanted(contents("a: 1\n")) == [ENV, FILE]


def test_the_plan_has_them_before_the_files_are_put_in_place() -> None:
    """Another text of a file is another plan."""
    plans = [_plan_with(f"services: {{web: {{ports: ['{port}:80']}}}}\n") for port in (80, 81)]
    ops = [step.op for step in plans[0].steps]
    place = ops.index("rewrite_files")
    assert "extract" in ops[:place]
    assert "extract" not in ops[place:]
    # Nothing that is there is touched before it is sure that the files can be changed.
    assert not {"exchange", "create_container", "stop_container"} & set(ops[:place])
    assert {"exchange", "create_container"} <= set(ops[place:])
    assert plans[0].hash != plans[1].hash
    assert DockerPlan.from_json(json.loads(json.dumps(plans[0].as_json()))).hash == plans[0].hash
    step = plans[0].steps[place]
    assert step.touches == ("/srv/two/opt/app/.env", f"/srv/two{sample.FILES[0]}")
    assert [(row["stage"], row["source"]) for row in step.params["files"]] == [
        ("/srv/two/opt", "/opt/app/.env"),
        ("/srv/two/opt", sample.FILES[0]),
    ]
    assert "changes: 2" in step.sentence
    assert "others_kept" in [one.code for one in plans[0].notes]


def _plan_with(text: str) -> DockerPlan:
    found = sample.contents()
    texts = dict.fromkeys(sample.FILES, b"services: {}\n") | {sample.FILES[0]: text.encode()}
    found = replace(found, compose_files=found_in(found, texts))
    options = Options(placement="other_project", project_name="two", ports="shift")
    target, choice = sample.inventory(), Choice("projects")
    consents = {one.consent for one in conflicts.find(found, target, choice, options) if one.consent}
    return plan_docker(found, target, choice, options, ABOUT, consents)


@pytest.mark.django_db
def test_the_review_shows_every_change_folded(client_of: Callable[[User], Client], bob: User) -> None:
    found = sample.contents()
    texts = dict.fromkeys(sample.FILES, b"services: {'<web>': {ports: ['80:80']}}\n")
    found = replace(found, compose_files=found_in(found, texts))
    options, choice = Options(placement="other_project", project_name="two", ports="shift"), Choice("projects")
    asked = conflicts.find(found, sample.inventory(), choice, options, own=True)
    answers = {"options": options.as_json(), "choice": choice.as_json(), "inventory": sample.there()}
    consents = [one.consent for one in asked if one.consent]
    row = rows.draft(bob, DockerRestore.Step.OPTIONS, found, **{**answers, "consents": consents})
    text = client_of(bob).get(at("review", row)).content.decode()
    assert "<summary" in text
    assert "+++ /srv/two/opt/app/.env\n@@ 1 @@ COMPOSE_PROJECT_NAME\n+COMPOSE_PROJECT_NAME=two" in text
    assert "services.&lt;web&gt;.ports[0]\n-80\n+10080" in text
    assert "What changes in them" in text
