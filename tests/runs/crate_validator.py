"""The community's validator of RO-Crates, without network."""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
from pathlib import Path

CONTEXT_URL = "https://w3id.org/ro/crate/1.1/context"


def fill_cache(path: Path) -> None:
    """Put the RO-Crate 1.1 context that `rocrate` ships where the validator looks."""
    import requests
    import rocrate
    import urllib3
    from requests.adapters import HTTPAdapter
    from requests_cache import CachedSession

    content = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()

    class Shelf(HTTPAdapter):
        def send(self, request, **_):
            body = urllib3.HTTPResponse(
                body=io.BytesIO(content),
                headers={"Content-Type": "application/ld+json"},
                status=200,
                preload_content=False,
                request_url=request.url,
            )
            return self.build_response(request, body)

    with CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", Shelf())
        response: requests.Response = session.get(CONTEXT_URL)
        assert response.status_code == 200
        session.cache.close()


def issues(
    folder: Path, cache: Path, profile: str = "provenance-run-crate", level: str = "REQUIRED"
) -> list[str]:
    """Return what a profile finds at a level."""
    # The validator makes URIs of the folder's name without quoting it.
    with tempfile.TemporaryDirectory() as plain, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own dependencies
        from rocrate_validator import models, services

        settings = models.ValidationSettings(
            rocrate_uri=str(shutil.copytree(folder, Path(plain) / "crate")),
            profile_identifier=profile,
            requirement_severity=level,
            offline=True,
            cache_path=cache,
        )
        result = services.validate(settings)
        found = [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]
        assert result.passed() == (not found)
    return found
