"""The floor that every rate is measured against: a bare Django view with session, user and one conditional UPDATE."""

from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.urls import path

from events.models import Pool


def floor(request: HttpRequest, pool: int) -> HttpResponse:
    """Take a place of a pool that is never full."""
    free = Q(capacity=None) | Q(capacity__gt=F("taken"))
    taken = Pool.objects.filter(free, pk=pool).update(taken=F("taken") + 1)
    return HttpResponse(f"{request.user.pk} {taken}")


urlpatterns = [path("<int:pool>/", floor)]
