from __future__ import annotations

import logging

from django.http import Http404
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import page_not_found

from conversation_memory.exceptions import ConversationMemoryError, ConversationNotFound

logger = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Django has one of its own from 6.0 on; this site runs on 5.2 too."""

    def process_response(self, request, response):
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class MemoryUnavailableMiddleware(MiddlewareMixin):
    """Show a page, and what the visitor had written, when the memory cannot be reached."""

    def process_exception(self, request, exception):
        if isinstance(exception, ConversationNotFound):
            return page_not_found(request, Http404(str(exception)))
        if not isinstance(exception, ConversationMemoryError):
            return None
        logger.error("%s %s: %s", request.method, request.path, exception)
        response = render(request, "chat/unavailable.html", status=503)
        response.headers["Retry-After"] = "5"
        return response
