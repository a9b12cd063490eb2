"""Uploaded files: each site's in a folder of its own, ``MEDIA_ROOT/<site's id>/``, served at its own hosts only.

As settings.STORAGES["default"]. A row keeps a file's name within its site's folder, so that a clone's rows find the
clone's files.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils._os import safe_join
from django.views.decorators.http import require_safe
from django.views.static import serve

from dbrouting.tenant_context import site_id

# Ids are such, and aliases and "shared"; nothing that leads out of a folder, or is hidden in it.
_ID = re.compile(r"\w[\w.-]*")


class SiteStorage(FileSystemStorage):
    """Files of the active site; where none is, there is no folder."""

    @property
    def location(self) -> str:
        return folder_of(site_id(), str(self.base_location))

    def url(self, name: str | None) -> str:
        """At the site's own host, which tells whose it is; at a host that is for all uploads the id has to."""
        address = super().url(name)
        base = str(self.base_url)
        return address if not urlsplit(base).netloc else f"{base}{quote(site_id())}/{address.removeprefix(base)}"


def folder_of(site: str, root: str | None = None) -> str:
    """The folder of the site whose id this is, whether it is there or not."""
    if not _ID.fullmatch(site):
        raise SuspiciousFileOperation(f"{site!r} is no id of a site: it can't name a folder.")
    return os.path.join(os.path.abspath(root or settings.MEDIA_ROOT), site)  # noqa: PTH100, PTH118  as Django's own


@require_safe
def serve_upload(request: HttpRequest, path: str) -> HttpResponseBase:
    """A file of the request's own site: in development by Django, else by the web server in front, which is told which.

    With neither it is nobody's task to serve files, as without this view.
    """
    if settings.DEBUG:
        return serve(request, path, document_root=folder_of(site_id()))
    if not settings.TENANT_UPLOADS_PREFIX:
        raise Http404
    folder = folder_of(site_id())
    inside = Path(safe_join(folder, path)).relative_to(folder).as_posix()
    response = HttpResponse(
        headers={"X-Accel-Redirect": f"{settings.TENANT_UPLOADS_PREFIX}{quote(site_id())}/{quote(inside)}"}
    )
    del response["Content-Type"]  # the web server's to say
    return response


def delete_files(site: str) -> None:
    """Remove all uploads of the site with this id. Nothing happens if there are none."""
    if (folder := Path(folder_of(site))).exists():
        shutil.rmtree(folder)


def copy_files(source: str, target: str) -> None:
    """Make the uploads of the one site those of the other, which has none, or some that an interrupted run left."""
    delete_files(target)
    if Path(folder_of(source)).exists():
        shutil.copytree(folder_of(source), folder_of(target), symlinks=True)
