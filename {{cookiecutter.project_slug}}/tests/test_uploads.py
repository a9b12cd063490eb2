"""Uploaded files are where the settings say, and the site itself serves them in development only."""

from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import Http404
from django.test import RequestFactory
from django.urls import URLResolver
from django.urls.resolvers import RegexPattern


@pytest.fixture
def url(settings: Any, tmp_path: Path) -> str:
    """Of a file that somebody uploaded."""
    settings.MEDIA_ROOT = tmp_path
    return default_storage.url(default_storage.save("menus/tea.txt", ContentFile("sencha")))


def resolver(settings: Any) -> URLResolver:
    """Of the project's URLs, as they are with the settings of this moment."""
    return URLResolver(RegexPattern("^/"), run_path(str(settings.BASE_DIR / "config" / "urls.py"))["urlpatterns"])


def get(url: str, settings: Any) -> Any:
    view, args, kwargs = resolver(settings).resolve(url)
    return view(RequestFactory().get(url), *args, **kwargs)


def test_uploaded_files_are_served_in_development(url: str, settings: Any) -> None:
    settings.DEBUG = True

    assert b"".join(get(url, settings)) == b"sencha"


def test_uploaded_files_are_not_served_elsewhere(url: str, settings: Any) -> None:
    settings.DEBUG = False

    with pytest.raises(Http404):  # there is no such URL, or nothing at it
        get(url, settings)
