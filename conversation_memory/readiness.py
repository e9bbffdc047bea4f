"""A view for readiness probes of Kubernetes, load balancers and monitors."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .health import Health
from .indexes import indexes


@never_cache
@require_safe
def ready(request: HttpRequest, alias: str = "default", within: float = 2.0) -> JsonResponse:
    """The health of an index as JSON: 200, or 503 if it cannot be read and written.

    It has the states of the findings and no details, so that it tells strangers no address.
    """
    return _response(indexes[alias].health(within=within))


@never_cache
@require_safe
async def aready(request: HttpRequest, alias: str = "default", within: float = 2.0) -> JsonResponse:
    """See ready()."""
    return _response(await indexes[alias].ahealth(within=within))


def _response(health: Health) -> JsonResponse:
    content = {"ready": health.is_ready, "findings": health.states}
    return JsonResponse(content, status=200 if health.is_ready else 503)
