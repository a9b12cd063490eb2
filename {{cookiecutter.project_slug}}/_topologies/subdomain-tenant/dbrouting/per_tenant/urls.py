"""Uploads, at every site. Where MEDIA_URL names a host of its own, that one serves them."""

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import URLPattern, re_path

from dbrouting.per_tenant.files import serve_upload

urlpatterns: list[URLPattern] = []
if not urlsplit(settings.MEDIA_URL).netloc:
    urlpatterns = [re_path(rf"^{re.escape(settings.MEDIA_URL.lstrip('/'))}(?P<path>.*)$", serve_upload)]
