"""The form of a load: which dumps, into which server, what may happen there, which login."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.services import credentials
from phpborg.errors import InvalidInput, describe
from recovery.models import Restore
from recovery.services.dumps import Dump, record_of
from recovery.services.load_plan import RENAMES, instances_of, source_of
from servers.models import Server

_NEW, _REPLACE, _RENAME = "new", "replace", "rename"
_FOUND, _GIVEN = "found", "given"


class LoadForm(forms.Form):
    """Reads a draft and writes it back; a password is never shown again."""

    use_required_attribute = False
    dumps = forms.MultipleChoiceField(label=gettext_lazy("What to load"), widget=forms.CheckboxSelectMultiple)
    target = forms.ChoiceField(label=gettext_lazy("Into the server"))
    existing = forms.ChoiceField(label=gettext_lazy("When a database of that name is there"), widget=forms.RadioSelect)
    new_name = forms.CharField(
        label=gettext_lazy("New name"),
        required=False,
        strip=False,
        max_length=63,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Only for one database at a time."),
    )
    login = forms.ChoiceField(
        label=gettext_lazy("Login"),
        widget=forms.RadioSelect,
        choices=[(_FOUND, gettext_lazy("The one that was found to work")), (_GIVEN, gettext_lazy("This one"))],
    )
    user = forms.CharField(label=gettext_lazy("User"), required=False, max_length=credentials.LONGEST)
    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        max_length=credentials.LONGEST,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy(
            "Kept encrypted until the restore has ended. Leave it empty to keep the one that was given."
        ),
    )

    def __init__(self, *args: Any, restore: Restore, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert restore.archive is not None
        self.restore = restore
        record = record_of(restore.archive)
        self.engine = record.engine if record is not None else ""
        found = record.dumps if record is not None else ()
        self._choices("dumps", [(dump.key, _title(dump)) for dump in found])
        targets = instances_of(self.engine, Server.objects.ready().order_by("name")) if found else []
        source = source_of(self.engine) if found else None
        self._targets = {f"{server.pk} {one.id}": (server, str(one.id)) for server, one in targets}
        names = [
            (f"{server.pk} {one.id}", f"{server.name} · {source.name_of(one)} {one.id} ({one.version or '?'})")
            for server, one in targets
            if source is not None
        ]
        self._choices("target", [("", _("Choose…")), *names])
        self._choices("existing", self._rules())
        if self.engine not in RENAMES:
            del self.fields["new_name"]
        self._begin(found)

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def _rules(self) -> list[tuple[str, str]]:
        replace = _("Replace it: what is in it now is lost")
        rules = [(_NEW, _("Refuse: it is loaded only where there is none")), (_REPLACE, replace)]
        if self.engine in RENAMES:
            return [*rules, (_RENAME, _("Load it under another name"))]
        self.fields["existing"].help_text = _(
            "MySQL and MariaDB cannot rename a database, and a dump of theirs may name its own inside: it comes back "
            "under its own name."
        )
        return rules

    def _begin(self, found: tuple[Dump, ...]) -> None:
        row = self.restore
        here = f"{row.server_id} {row.instance}"
        own = [key for key, (server, _id) in self._targets.items() if server.pk == row.server_id]
        self.initial = {
            "dumps": row.dumps or [dump.key for dump in found],
            "target": here if here in self._targets else next(iter(own), ""),
            "existing": _RENAME if row.new_name else _REPLACE if row.replace else _NEW,
            "new_name": row.new_name,
            "login": _GIVEN if row.login_user else _FOUND,
            "user": row.login_user,
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("existing") == _RENAME and not data.get("new_name"):
            self.add_error("new_name", gettext_lazy("Write the name that it gets."))
        if data.get("login") == _GIVEN:
            try:
                credentials.login(data.get("user", ""), data.get("password", ""))
            except InvalidInput as error:
                self.add_error("user", describe(error.code, error.facts).title)
            # The password that is kept is that of another user when the name is another.
            kept = self.restore.credentials and data.get("user", "").strip() == self.restore.login_user
            if not data.get("password") and not kept:
                self.add_error("password", gettext_lazy("Write its password."))
        return data

    def save(self) -> Restore:
        """Keep it all in the draft."""
        row, data = self.restore, self.cleaned_data
        row.server, row.instance = self._targets[data["target"]]
        row.server_name = row.server.name
        row.dumps = data["dumps"]
        row.replace = data["existing"] == _REPLACE
        row.new_name = data.get("new_name", "") if data["existing"] == _RENAME else ""
        if data["login"] == _GIVEN:
            if data["password"] or data["user"].strip() != row.login_user:
                row.credentials = credentials.login(data["user"], data["password"]).sealed()
            row.login_user = data["user"].strip()
        else:
            row.login_user = ""
            row.credentials = type(row.credentials)("")
        row.save()
        return row


def _title(dump: Dump) -> str:
    titles = {
        "globals": _("Roles with their passwords (those that are there stay as they are)"),
        "users": _("Users with their rights (those that are there stay as they are)"),
    }
    return titles.get(dump.kind, dump.name)
