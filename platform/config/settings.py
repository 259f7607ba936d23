"""Every value from the environment, each with a default that runs. docs/settings.md lists them; a test keeps it complete."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _
from whitenoise.compress import Compressor

from config.environment import (
    Refuse,
    database,
    flag,
    mailer,
    older_secrets,
    secret,
    ticket_keys,
    whole_number,
)

ROOT = Path(__file__).resolve().parents[2]
VAR = Path(os.environ.get("VAR_DIR", ROOT / "var"))
VAR.mkdir(parents=True, exist_ok=True)

DEBUG = flag("DEBUG")
DEMO = flag("DEMO")
RATE_LIMITS = flag("RATE_LIMITS", default=True)
PORT = whole_number("PORT", 8000)
PUBLIC_URL = os.environ.get("PUBLIC_URL", f"http://localhost:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
IS_LOOPBACK = _public.hostname in {"localhost", "127.0.0.1", "::1"}
IS_HTTPS = _public.scheme == "https"
if DEMO and not IS_LOOPBACK:
    raise Refuse(
        "DEMO=1 lets anybody sign in as anybody: it runs only where PUBLIC_URL is this machine itself."
    )
if not IS_LOOPBACK and not IS_HTTPS:
    raise Refuse("PUBLIC_URL must begin with https:// when it is not this machine itself.")

SECRET_KEY = secret("SECRET_KEY", VAR, may_make=IS_LOOPBACK)
SECRET_KEY_FALLBACKS = older_secrets(VAR)
TICKET_KEYS = ticket_keys(VAR, may_make=IS_LOOPBACK)
ALLOWED_HOSTS = (
    os.environ.get("ALLOWED_HOSTS", "").split(",")
    if os.environ.get("ALLOWED_HOSTS")
    else [str(_public.hostname)]
)
if IS_LOOPBACK:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, "localhost", "127.0.0.1", "[::1]"]
PROXY_COUNT = whole_number("PROXY_COUNT", 0)
ALLAUTH_TRUSTED_PROXY_COUNT = PROXY_COUNT
if IS_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
METRICS_TOKEN = os.environ.get("METRICS_TOKEN", "")
BACKUP_KEY = os.environ.get("BACKUP_KEY", "")
OPERATOR = os.environ.get("OPERATOR", "Euregio Circles, Hasselt")
OPERATOR_EMAIL = os.environ.get("OPERATOR_EMAIL", "hello@example.org")
OPERATOR_ADDRESS = os.environ.get("OPERATOR_ADDRESS", "").replace("\\n", "\n")
OPERATOR_PHONE = os.environ.get("OPERATOR_PHONE", "")
OPERATOR_REGISTER = os.environ.get("OPERATOR_REGISTER", "").replace("\\n", "\n")
OPERATOR_REPRESENTED_BY = os.environ.get("OPERATOR_REPRESENTED_BY", "")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "config.staticfiles.OnlyWhatIsUsed",
    "channels",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config",
    "events",
    "community",
    "realtime",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "config.middleware.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.compression.PageCompression",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.sessions.SessionLimits",
    "config.middleware.ReaderMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "config.locks.LockMiddleware",
    "config.reauthentication.AskAgain",
    "config.middleware.RefusalMiddleware",
    "config.idempotency.IdempotencyMiddleware",
]

SILENCED_SYSTEM_CHECKS = ["auth.W004"]  # addresses are unique, whatever their case: a constraint of Member
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.pages.frame",
            ],
            # ours last: it replaces Django's language_name, which speaks English on every page
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "config.templatetags.ui",
                "config.templatetags.cards",
            ],
        },
    }
]

FORM_RENDERER = "config.widgets.Renderer"

DATABASES = {"default": database(VAR)}
REDIS_URL = os.environ.get("REDIS_URL", "")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2},  # limits are not worth a wait
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# People
AUTH_USER_MODEL = "community.Member"
AUTHENTICATION_BACKENDS = ["config.accounts.SignedIn"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
ACCOUNT_ADAPTER = "config.accounts.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*"]
ACCOUNT_SIGNUP_FORM_CLASS = "community.forms.JoinForm"
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_MAX_ATTEMPTS = 5
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_MAX_ATTEMPTS = 5
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_FORMS = {
    "confirm_login_code": "config.locks.LoginCodeForm",
    "confirm_email_verification_code": "config.locks.SignUpCodeForm",
}
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
# `guest`: parties without an account, each of which sends a mail to an address that somebody typed.
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {"guest": "20/h/ip"} if RATE_LIMITS else False
ALLAUTH_USER_CODE_FORMAT = {"numeric": False, "dashed": True, "length": 12}  # 20^12: 51 bits
USERSESSIONS_ADAPTER = "config.accounts.SessionsAdapter"
MFA_FORMS = {"authenticate": "config.locks.SecondStepForm", "reauthenticate": "config.locks.OnceMoreForm"}
MFA_ADAPTER = "config.accounts.SecondStep"
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = IS_LOOPBACK and not IS_HTTPS

# Cookies: the __Host- names only exist where the site is served by https.
_prefix = "__Host-" if IS_HTTPS else ""
SESSION_COOKIE_NAME = f"{_prefix}session"
CSRF_COOKIE_NAME = f"{_prefix}csrf"
LANGUAGE_COOKIE_NAME = "language"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "config.session_store"
SESSION_COOKIE_AGE = 30 * 86_400
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if IS_HTTPS else []
CSRF_FAILURE_VIEW = "config.problems.csrf_refused"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF, CSP.NONCE, CSP.WASM_UNSAFE_EVAL],
    "style-src": [CSP.SELF, CSP.NONCE],
    "img-src": [CSP.SELF, "data:", "blob:"],
    "connect-src": [CSP.SELF],
    "media-src": [CSP.SELF, "blob:"],
    "worker-src": [CSP.SELF],
    "manifest-src": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.SELF],
    "form-action": [CSP.SELF],
    "object-src": [CSP.NONE],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

# Languages and time
LANGUAGES = [("en", "English"), ("nl", "Nederlands"), ("de", "Deutsch"), ("fr", "Français")]
LANGUAGE_CODE = "en"
LOCALE_PATHS = [ROOT / "platform/config/locale"]
USE_TZ = True
TIME_ZONE = "Europe/Brussels"

# Files
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
MEDIA_ROOT = VAR / "media"  # never served as it lies there
STATICFILES_DIRS = [ROOT / "platform/config/static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.staticfiles.HashedFiles"},
}
WHITENOISE_MAX_AGE = 3600
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [
    *Compressor.SKIP_COMPRESS_EXTENSIONS,
    "map",
]  # read by nobody, minutes of work

# Mail: rows of the outbox first, sent by the sweep
MAILERS = {"default": mailer()}
MAIL_GOES_OUT = bool(os.environ.get("EMAIL_URL"))
DEFAULT_FROM_EMAIL = os.environ.get("MAIL_FROM", f"Euregio Circles <noreply@{_public.hostname}>")

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "config.authentication.BearerAuthentication",
        "config.authentication.CookieAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsing.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "config.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "config.schema.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["config.throttling.MemberThrottle", "config.throttling.AddressThrottle"]
    if RATE_LIMITS
    else [],
    "DEFAULT_THROTTLE_RATES": {"member": "600/min", "address": "120/min"},
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is 405: the description is at schema/
    "EXCEPTION_HANDLER": "config.problems.as_problem",
    "NUM_PROXIES": PROXY_COUNT,
    "UNAUTHENTICATED_USER": None,
    "PAGE_SIZE": 20,
}
SPECTACULAR_SETTINGS = {
    "TITLE": _("Euregio Circles"),
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENUM_NAME_OVERRIDES": {
        "ChannelEnum": "realtime.bell.CHANNELS",
        "EndScopeEnum": "events.api.shapes.ENDS",
        "ScopeEnum": "events.rescheduling.SCOPES",
        "EventStateEnum": "events.models.Event.State",
        "InvitationStatusEnum": "events.inviting.STATES",
        "QuestionKindEnum": "events.questions.KINDS",
        "MembershipStateEnum": "community.models.CircleMembership.State",
        "RegistrationStatusEnum": "events.models.Registration.State",
        "ScanStatusEnum": "events.api.answers.SCAN_STATUSES",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.schema.with_examples",
        "config.schema.plain_texts",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Live: which topics there are is said by the floors above realtime, in their AppConfig.ready()
SOCKET_PATH = "ws/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "config.logs.line_formatter"},
        "security": {"()": "config.logs.security_formatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "security": {"class": "logging.StreamHandler", "formatter": "security"},
    },
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "WARNING")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "security": {"handlers": ["security"], "level": "INFO", "propagate": False},
    },
}
