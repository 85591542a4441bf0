"""Forms of pools and repositories. Values are checked again by the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from backups.borg.specs import DEFAULT_ENCRYPTION, Encryption
from backups.models import Repository, StoragePool
from backups.services.repositories import DEFAULT_COMPRESSION
from phpborg.errors import InvalidInput, PhpBorgError, describe

EXACT = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}
ENCRYPTIONS = [
    (
        Encryption.REPOKEY_BLAKE2,
        _("Encrypted (recommended)"),
        _("Who has the disk can read nothing. Needs the passphrase, and the key that is kept in the repository."),
    ),
    (
        Encryption.REPOKEY,
        _("Encrypted, with SHA-256"),
        _("The same protection with another checksum: faster on processors that compute SHA-256 in hardware."),
    ),
    (
        Encryption.AUTHENTICATED_BLAKE2,
        _("Readable, but protected against changes"),
        _("Who has the disk can read the files, but cannot change them unnoticed. Needs the passphrase."),
    ),
    (
        Encryption.NONE,
        _("Not protected"),
        _("Who has the disk can read and change everything. Only for a disk that is encrypted itself."),
    ),
]
COMPRESSIONS = [
    ("zstd,3", _("zstd,3: a good balance (recommended)")),
    ("lz4", _("lz4: fastest, compresses little")),
    ("auto,zstd,6", _("auto,zstd,6: tries first whether compressing is worth it")),
    ("zstd,10", _("zstd,10: smaller and slower")),
    ("lzma,6", _("lzma,6: smallest and very slow")),
    ("none", _("none: for data that is compressed already")),
]


def put_on_form(form: forms.Form, error: PhpBorgError) -> None:
    """An expected error beside the field that it speaks of, or above the form."""
    if isinstance(error, InvalidInput):
        said = str(error.facts.get("field", "")).lower()
        for name, field in form.fields.items():
            if said in (name, str(field.label).lower()):
                form.add_error(name, capfirst(str(error.facts.get("problem", ""))))
                return
    words = describe(error.code, error.facts)
    form.add_error(None, f"{words.title} {words.advice}" + (f" ({error.detail})" if error.detail else ""))


class PoolEditForm(forms.Form):
    """What can be changed of a pool; its path is what it is."""

    name = forms.CharField(label=_("Name"), max_length=80)
    threshold_percent = forms.IntegerField(
        label=_("Warn from (% used)"),
        min_value=1,
        max_value=100,
        initial=85,
        help_text=_("The dashboard warns when the disk is fuller than this."),
    )


class PoolForm(PoolEditForm):
    """A new pool."""

    path = forms.CharField(
        label=_("Path"),
        max_length=900,
        help_text=_(
            "A directory of its own on a disk of this backup host, for example /srv/backups. "
            "It is made when it is missing. Mount the disk first."
        ),
        widget=forms.TextInput(attrs=EXACT),
    )
    is_default = forms.BooleanField(label=_("Offer this pool first for new repositories"), required=False)
    field_order = ("name", "path", "threshold_percent", "is_default")


class EncryptionField(forms.ChoiceField):
    """The modes with their meaning in plain words; the template shows `explained`."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Encryption"),
            choices=[(mode.value, title) for mode, title, _text in ENCRYPTIONS],
            initial=DEFAULT_ENCRYPTION.value,
            widget=forms.RadioSelect,
            help_text=_("It cannot be changed later."),
        )

    @property
    def explained(self) -> list[dict[str, Any]]:
        """Value, title and explanation of each mode."""
        return [{"value": mode.value, "title": title, "text": text} for mode, title, text in ENCRYPTIONS]


class RepositoryForm(forms.Form):
    """A new repository. The passphrase is generated, or typed twice; spaces count."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("Its directory gets a similar name inside the pool.")
    )
    pool = forms.ModelChoiceField(label=_("Storage pool"), queryset=StoragePool.objects.none(), empty_label=None)
    encryption = EncryptionField()
    source = forms.ChoiceField(
        label=_("Passphrase"),
        choices=[("generate", _("Generate a strong one; it is shown once")), ("type", _("I type my own"))],
        initial="generate",
        widget=forms.RadioSelect,
    )
    passphrase = forms.CharField(
        label=_("Your passphrase"),
        required=False,
        strip=False,
        max_length=1000,
        help_text=_("One line, used exactly as typed, spaces included."),
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
    )
    repeated = forms.CharField(
        label=_("The same again"),
        required=False,
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
    )
    compression = forms.ChoiceField(label=_("Compression"), choices=COMPRESSIONS, initial=DEFAULT_COMPRESSION)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chooser: Any = self.fields["pool"]
        chooser.queryset = StoragePool.objects.order_by("-is_default", "name")

    @property
    def is_protected(self) -> bool:
        """The chosen mode needs a passphrase."""
        return Encryption(self.cleaned_data["encryption"]).has_key

    @property
    def wants_generated(self) -> bool:
        return bool(self.cleaned_data["source"] == "generate")

    def clean(self) -> dict[str, Any]:
        """A typed passphrase must be there, twice the same."""
        data = super().clean() or {}
        if data.get("source") != "type" or data.get("encryption") in (None, Encryption.NONE.value):
            return data
        if not data.get("passphrase"):
            self.add_error("passphrase", _("Type a passphrase, or let one be generated."))
        elif data["passphrase"] != data.get("repeated"):
            self.add_error("repeated", _("The two are not the same."))
        return data


class RepositoryEditForm(forms.Form):
    """What can be changed of a repository without touching it."""

    name = forms.CharField(label=_("Name"), max_length=80)
    compression = forms.ChoiceField(
        label=_("Compression"), choices=COMPRESSIONS, help_text=_("For archives to come; older ones stay as they are.")
    )

    def __init__(self, *args: Any, repository: Repository, **kwargs: Any) -> None:
        kwargs["initial"] = {"name": repository.name, "compression": repository.compression}
        super().__init__(*args, **kwargs)
        chooser: Any = self.fields["compression"]
        if repository.compression not in dict(COMPRESSIONS):
            chooser.choices = [(repository.compression, repository.compression), *COMPRESSIONS]


class MoveForm(forms.Form):
    """Where the repository is now."""

    path = forms.CharField(
        label=_("Path"),
        max_length=900,
        help_text=_("Where its directory is now; inside one of the storage pools."),
        widget=forms.TextInput(attrs=EXACT),
    )


class PassphraseForm(forms.Form):
    """The passphrase that opens the repository."""

    passphrase = forms.CharField(
        label=_("Passphrase"),
        strip=False,
        max_length=1000,
        help_text=_("One line, used exactly as typed, spaces included. It is tried before it is stored."),
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
    )


class CheckForm(forms.Form):
    """How deep a check goes."""

    mode = forms.ChoiceField(
        label=_("What is checked"),
        choices=[
            ("repository", _("The repository's files: checksums of all segments; minutes to hours")),
            ("archives", _("The archives' structure: every file list is complete")),
            ("data", _("All data: every piece is read and decrypted; takes the longest")),
        ],
        initial="repository",
        widget=forms.RadioSelect,
    )
