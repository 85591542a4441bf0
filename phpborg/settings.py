"""All settings, from the environment. A wrong value stops the start with a sentence."""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent


class Environment(environ.FileAwareEnv):  # type: ignore[misc]
    """django-environ with `NAME_FILE` for secrets, but a leading `$` is a character, not a reference."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **options: Any) -> Any:
        raw = self.ENVIRON.get(f"{self.prefix}{var}")
        if isinstance(raw, str) and raw.startswith("$"):
            return self.parse_value(raw, cast)
        return super().get_value(var, cast=cast, default=default, **options)


env = Environment()
if (BASE_DIR / ".env").exists():
    environ.Env.read_env(BASE_DIR / ".env")

TRUE_WORDS, FALSE_WORDS = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def boolean(name: str, *, default: bool) -> bool:
    """A yes or a no; django-environ would read any other word as no."""
    word = str(env.str(name, default=str(default))).strip().lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ImproperlyConfigured(f"{name} is “{word}”. Write true or false.")
    return word in TRUE_WORDS


def directory(name: str, default: Path) -> Path:
    """An absolute directory path."""
    path = Path(env.str(name, default=str(default)))
    if not path.is_absolute():
        raise ImproperlyConfigured(f"{name} is “{path}”. Write an absolute path.")
    return path


def whole(name: str, *, default: int, least: int = 0) -> int:
    """A whole number that is at least `least`."""
    word = str(env.str(name, default=str(default)))
    if not word.isdigit() or int(word) < least:
        raise ImproperlyConfigured(f"{name} is “{word}”. Write a whole number from {least}.")
    return int(word)


def pairs(name: str, *, default: dict[str, str]) -> dict[str, str]:
    """`a=b,c=d` over the defaults."""
    found = dict(default)
    for word in str(env.str(name, default="")).split(","):
        key, equals, value = (part.strip() for part in word.partition("="))
        if word.strip() and not (key and equals and value):
            raise ImproperlyConfigured(f"{name} has “{word.strip()}”. Write name=value, with commas between.")
        if key:
            found[key] = value
    return found


def templates(name: str, *, default: dict[str, str]) -> dict[str, str]:
    """Names of images by product, in which {major}, {minor} and {version} are filled in."""
    found = pairs(name, default=default)
    for product, template in found.items():
        if product not in default:
            raise ImproperlyConfigured(f"{name} has “{product}”. Write one of {', '.join(default)}.")
        try:
            template.format(major="", minor="", version="")
        except (LookupError, ValueError, AttributeError) as error:
            raise ImproperlyConfigured(
                f"{name} has “{template}”. It may name {{major}}, {{minor}} and {{version}} only."
            ) from error
    return found


DEBUG = boolean("PHPBORG_DEBUG", default=False)
# Everything that the product writes beside its repositories lives below this directory.
VAR_DIR = directory("PHPBORG_VAR", BASE_DIR / "var")
# The servers' keys as files while they are in use: best on a disk that forgets (a tmpfs).
RUN_DIR = directory("PHPBORG_RUN", VAR_DIR / "run")


def secret_key() -> str:
    """The key of sessions and signatures, from the environment or from var/secret-key."""
    key: str = env.str("SECRET_KEY", default="")
    file = VAR_DIR / "secret-key"
    if not key and file.exists():
        key = file.read_text().strip()
    if key:
        return key
    raise ImproperlyConfigured(
        f"SECRET_KEY is not set and {file} does not exist. Run script/server, or set SECRET_KEY."
    )


SECRET_KEY = secret_key()
# Secrets at rest are encrypted with this key file; it is apart from SECRET_KEY (phpborg/crypto.py).
ENCRYPTION_KEY_FILE = directory("PHPBORG_KEY_FILE", VAR_DIR / "encryption-key")

ALLOWED_HOSTS: list[str] = env.list("PHPBORG_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("PHPBORG_ORIGINS", default=[])
# The address that mails and pages name; behind a proxy it is not what the request says.
PUBLIC_URL: str = env.str("PHPBORG_PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
HTTPS = PUBLIC_URL.startswith("https://")

INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "phpborg.apps.PhpBorgAdminConfig",
    "channels",
    "django_htmx",
    "django_rq",
    "phpborg.apps.PhpBorgConfig",
    "phpborg.tasks",
    "phpborg.accounts",
    "phpborg.ui",
    "servers",
    "backups",
    "recovery",
    "dockerops",
    "notifications",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "phpborg.accounts.middleware.PreferencesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "phpborg.middleware.ContentSecurityPolicyMiddleware",
    "phpborg.middleware.ExpectedErrorMiddleware",
]

ROOT_URLCONF = "phpborg.urls"
ASGI_APPLICATION = "phpborg.asgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS: list[str] = []

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "phpborg.ui.context.page",
            ],
        },
    }
]


def database() -> dict[str, Any]:
    """SQLite in var/ by default; DATABASE_URL names another."""
    config: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'phpborg.sqlite3'}")
    if config["ENGINE"].endswith("sqlite3"):
        # Without WAL and IMMEDIATE four writers lose most of their transactions to "database is locked".
        config["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
    else:
        config["CONN_HEALTH_CHECKS"] = True
        config["CONN_MAX_AGE"] = 60
    return config


DATABASES = {"default": database()}

REDIS_URL: str = env.str("REDIS_URL", default=f"unix://{VAR_DIR / 'run/redis.sock'}")
QUEUES = ("quick", "backup", "restore", "system", "mail", "sessions", "proofs")
# -1: RQ's own limit would kill the work-horse and orphan its child; the runner keeps the deadline itself.
RQ_QUEUES = {name: {"URL": REDIS_URL, "DEFAULT_TIMEOUT": -1} for name in QUEUES}
RQ = {"COMMIT_MODE": "auto", "WORKER_CLASS": "phpborg.tasks.worker.Worker"}
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py 8 reads with a time limit unless told otherwise, which drops idle websockets.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "capacity": 500, "expiry": 30},
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if boolean("PHPBORG_BEHIND_PROXY", default=False) else None
)
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", _("French")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "phpborg/locale"]
TIME_ZONE = env.str("PHPBORG_TIME_ZONE", default="Europe/Paris")
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "phpborg.ui.static.HashedStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

# Borg on the backup host.
BORG_BINARY: str = env.str("PHPBORG_BORG", default="/usr/bin/borg")
# The one program that may run as root on this host when the product itself does not (sudoers/phpborg-backup-host).
REMOTE_HELPER = directory("PHPBORG_REMOTE_HELPER", Path("/usr/local/lib/phpborg/phpborg-remote"))
# How servers reach this host for direct backups: address, port and account of its sshd.
BACKUP_HOST: str = env.str("PHPBORG_BACKUP_HOST", default="")
BACKUP_HOST_PORT = whole("PHPBORG_BACKUP_HOST_PORT", default=22, least=1)
BACKUP_HOST_USER: str = env.str("PHPBORG_BACKUP_HOST_USER", default="")
AUTHORIZED_KEYS_FILE = directory("PHPBORG_AUTHORIZED_KEYS", Path("~/.ssh/authorized_keys").expanduser())
SSH_KEEPALIVE_SECONDS = whole("PHPBORG_SSH_KEEPALIVE", default=15, least=1)

# Tasks: a heartbeat that is older than this marks the task as lost.
TASK_HEARTBEAT_SECONDS = whole("PHPBORG_TASK_HEARTBEAT", default=5, least=1)
TASK_LOST_SECONDS = whole("PHPBORG_TASK_LOST", default=45, least=2)
TASK_LOG_BYTES = whole("PHPBORG_TASK_LOG_BYTES", default=4_000_000, least=10_000)
CLOCK_SECONDS = whole("PHPBORG_CLOCK", default=10, least=1)
BROWSE_IDLE_SECONDS = whole("PHPBORG_BROWSE_IDLE", default=900, least=10)

# Instant Recovery: how long a session lives unless it is extended; the registry before every image's name, an image for
# each product, and exceptions by version.
INSTANT_RECOVERY_HOURS = whole("PHPBORG_INSTANT_RECOVERY_HOURS", default=8, least=1)
# The least that a database's container may use; some products are given more.
RECOVERY_MEMORY_MIB = whole("PHPBORG_RECOVERY_MEMORY", default=1024, least=256)
# So many ended proofs of each job are kept, and any more that an archive's stamp stands on.
PROOFS_KEPT = whole("PHPBORG_PROOFS_KEPT", default=50, least=1)
RECOVERY_REGISTRY: str = env.str("PHPBORG_RECOVERY_REGISTRY", default="")
RECOVERY_IMAGES = templates(
    "PHPBORG_RECOVERY_IMAGES",
    default={
        "postgresql": "postgres:{major}",
        "mysql": "mysql:{major}.{minor}",
        "mariadb": "mariadb:{major}.{minor}",
        "mongodb": "mongo:{major}.{minor}",
        "elasticsearch": "elasticsearch:{version}",
        "opensearch": "opensearchproject/opensearch:{version}",
    },
)
RECOVERY_TAGS = pairs("PHPBORG_RECOVERY_TAGS", default={})
# Adminer beside a session's database: an image with PHP and the program, and where that is in it. No image: no Adminer.
RECOVERY_ADMINER_IMAGE: str = env.str("PHPBORG_RECOVERY_ADMINER_IMAGE", default="phpborg-adminer")
RECOVERY_ADMINER_PATH: str = env.str("PHPBORG_RECOVERY_ADMINER_PATH", default="/usr/share/adminer/adminer.php")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "phpborg.crypto.RedactingFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
    "root": {"handlers": ["console"], "level": env.str("PHPBORG_LOG_LEVEL", default="INFO")},
}
