"""Write a row, and read it in another request. An answer names the port of the server that it was read from."""

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from catalogue.models import Category

# Asked within the read itself, so that nothing can send the question elsewhere.
PORT = RawSQL({"postgresql": "inet_server_port()", "mysql": "@@port"}[connection.vendor], ())
# On a standby a read takes long.
SLEEP = RawSQL("(SELECT count(*) FROM pg_sleep(CASE WHEN pg_is_in_recovery() THEN 30 ELSE 0 END))", ())
# A row of the demo data.
ALWAYS_THERE = "tea"


def rows() -> QuerySet[Category]:
    return Category.objects.annotate(port=PORT)


@csrf_exempt
def write(request: HttpRequest, key: str) -> JsonResponse:
    Category.objects.create(name=key, slug=key)
    return JsonResponse({"written": key})


def read(request: HttpRequest, key: str) -> JsonResponse:
    try:
        row = rows().get(slug=key)
    except Category.DoesNotExist:
        row = rows().get(slug=ALWAYS_THERE)
    return answer(row, key)


@csrf_exempt
async def awrite(request: HttpRequest, key: str) -> JsonResponse:
    await Category.objects.acreate(name=key, slug=key)
    return JsonResponse({"written": key})


async def aread(request: HttpRequest, key: str) -> JsonResponse:
    try:
        row = await rows().aget(slug=key)
    except Category.DoesNotExist:
        row = await rows().aget(slug=ALWAYS_THERE)
    return answer(row, key)


def answer(row: Category, key: str) -> JsonResponse:
    return JsonResponse({"found": row.slug == key, "port": row.port})


def read_slowly(request: HttpRequest) -> JsonResponse:
    """So slowly that others can remove meanwhile what it might see."""
    return answer(rows().annotate(slept=SLEEP).get(slug=ALWAYS_THERE), ALWAYS_THERE)


urlpatterns = [
    path("", lambda request: JsonResponse({})),
    path("write/<key>/", write),
    path("read/<key>/", read),
    path("awrite/<key>/", awrite),
    path("aread/<key>/", aread),
    path("read-slowly/", read_slowly),
]
