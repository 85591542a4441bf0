"""The wizard's forms for a database server and for the whole system."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import sources
from backups.forms.wizard import lines_of
from backups.services import credentials
from backups.services.database_offers import AUTO, DUMPS, GIVEN
from phpborg.errors import InvalidInput, PhpBorgError


def to_value(name: str) -> str:
    """The name of a database as the value of a box: percent-encoded, so that any character survives."""
    return quote(name, safe="", errors="replace")


class DatabaseForm(forms.Form):
    """How one database server is backed up, and how we get into it. Its boxes are read from the data itself."""

    # What is needed depends on other answers: a hidden field that is required could not be sent.
    use_required_attribute = False

    # Not “method”: the field would hide that of the form from scripts.
    way = forms.CharField(required=False)
    scope = forms.ChoiceField(choices=[("all", ""), ("chosen", "")], required=False)
    config_files = forms.BooleanField(
        label=gettext_lazy("Configuration files too"),
        required=False,
        help_text=gettext_lazy("Those that exist: without them a server that starts again is not the same one."),
    )
    login = forms.ChoiceField(choices=[(AUTO, ""), (GIVEN, "")], required=False)
    user = forms.CharField(
        label=gettext_lazy("User"),
        error_messages={"required": gettext_lazy("A login that you give has a name.")},
        max_length=credentials.LONGEST,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        max_length=credentials.LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, data: QueryDict | None, *, kind: str, instance: str, initial: dict[str, Any]) -> None:
        super().__init__(data, initial=initial)
        self.kind, self.instance = kind, instance
        self.fields["user"].required = not self.is_bound or self.data.get("login") == GIVEN

    @property
    def chosen(self) -> list[str]:
        """Names of databases that are ticked, in their order."""
        if isinstance(self.data, QueryDict) and self.is_bound:
            return [unquote(value) for value in dict.fromkeys(self.data.getlist("database"))]
        return list(self.initial.get("databases", []))

    @property
    def takes_all(self) -> bool:
        """All databases, also those that are made later."""
        scope = self["scope"].value() or ("chosen" if self.chosen else "all")
        return bool(scope == "all")

    def source(self) -> dict[str, Any]:
        """The source as answered, for the draft."""
        method = str(self.data.get("way", ""))
        named = method == DUMPS and not self.takes_all
        return {
            "instance": self.instance,
            **({"method": method} if method else {}),
            "databases": self.chosen if named else [],
            "config_files": bool(self.data.get("config_files")),
            "login": GIVEN if self.data.get("login") == GIVEN else AUTO,
        }

    def typed(self) -> tuple[str, str]:
        """User and password as typed."""
        return str(self.data.get("user", "")).strip(), str(self.data.get("password", ""))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        source = self.source()
        if "method" not in source:
            self.add_error("way", _("Choose a method."))
        if source.get("method") == DUMPS and not self.takes_all and not self.chosen:
            self.add_error("scope", _("Choose at least one database, or all of them."))
        try:
            cleaned["source"] = sources.get(self.kind).parse(source).as_json()
        except InvalidInput as error:
            place = {_("Method"): "way", _("Databases"): "scope", _("Login"): "login"}
            self.add_error(place.get(str(error.facts["field"])), str(error.facts["problem"]))
        except PhpBorgError as error:
            self.add_error(None, str(error))
        if source["login"] == GIVEN and "user" not in self.errors:
            self._check_login()
        return cleaned

    def _check_login(self) -> None:
        try:
            credentials.login(*self.typed())
        except InvalidInput as error:
            is_user = error.facts["field"] == _("User")
            self.add_error("user" if is_user else "password", str(error.facts["problem"]))


class SystemForm(forms.Form):
    """The whole system: what is left out besides what is always left out."""

    all_filesystems = forms.BooleanField(
        label=gettext_lazy("All its filesystems"),
        required=False,
        help_text=gettext_lazy(
            "Also those that are mounted below / (/home, /var, /boot …). Without it only what lies on the same "
            "filesystem as / is backed up."
        ),
    )
    excludes = forms.CharField(
        label=gettext_lazy("Leave out as well"),
        required=False,
        max_length=200_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "placeholder": "/srv/cache/*\nsh:**/*.tmp"}),
        help_text=gettext_lazy(
            "Borg patterns, one a line: /a/path/* or *.tmp (shell style), sh:**/node_modules, "
            "re:\\.bak$ (regular expression), pp:/exact/path."
        ),
    )

    def source(self) -> dict[str, Any]:
        """The source as answered, for the draft."""
        return {
            "excludes": list(dict.fromkeys(lines_of(str(self.data.get("excludes", ""))))),
            "all_filesystems": bool(self.data.get("all_filesystems")),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            cleaned["source"] = sources.get("system").parse(self.source()).as_json()
        except InvalidInput as error:
            self.add_error("excludes", str(error.facts["problem"]))
        except PhpBorgError as error:
            self.add_error(None, str(error))
        return cleaned
