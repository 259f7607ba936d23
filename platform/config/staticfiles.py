"""How static files are named: by their content where `collectstatic` ran, by their plain name elsewhere."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class OnlyWhatIsUsed(StaticFilesConfig):
    """Collects without what packages bring for pages we do not have: a first start is six times as quick."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "redoc", "rest_framework"]


class HashedFiles(CompressedManifestStaticFilesStorage):
    """Hashed names with gzip and brotli copies beside them; a file the manifest does not know keeps its name.

    Tests and management commands run without `collectstatic`, and the vendored browser parts may be missing:
    neither may turn a page into an error.
    """

    manifest_strict = False
    support_js_module_import_aggregation = True  # `import "./x.js"` names x by its content too

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)  # type: ignore[no-untyped-call]
        self._urls: dict[str, str] = {}  # as long as the process: a new manifest comes with a new start

    def url(self, name: Any, force: bool = False) -> str:
        """The address of `name`: looked up once where names are hashed."""
        known = self._urls.get(name)
        if known is None or settings.DEBUG:
            known = self._urls[name] = str(super().url(name, force))
        return known

    def stored_name(self, name: str) -> str:
        """The hashed name of `name`, or `name` itself. No file is opened."""
        known: str = self.hashed_files.get(self.hash_key(self.clean_name(name)), name)
        return known
