"""How static files are named: by their content where `collectstatic` ran, by their plain name elsewhere."""

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

    def stored_name(self, name: str) -> str:
        """The hashed name of `name`, or `name` itself. No file is opened."""
        known: str = self.hashed_files.get(self.hash_key(self.clean_name(name)), name)
        return known
