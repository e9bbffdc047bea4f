from __future__ import annotations

import logging

from django.http import Http404
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import page_not_found

from conversation_memory.exceptions import (
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationNotFound,
    ConversationTooLarge,
)

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


OUT_OF_REACH = (
    "Your conversations are not available",
    "Something is wrong on our side. Nothing is lost; please try again in a few minutes.",
)
REASONS = {
    ConversationCorrupt: (
        "This conversation cannot be shown",
        "It is damaged. Your other conversations are not affected.",
    ),
    ConversationTooLarge: (
        "This conversation is full",
        "It cannot hold another message. Please start a new one.",
    ),
}


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Django has its own since 6.0, but this site also runs on 5.2."""

    def process_response(self, request, response):
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class MemoryUnavailableMiddleware(MiddlewareMixin):
    """Answer an error of the memory with a page that keeps the text the visitor had written."""

    def process_exception(self, request, exception):
        if isinstance(exception, ConversationNotFound):
            return page_not_found(request, Http404(str(exception)))
        if not isinstance(exception, ConversationMemoryError):
            return None
        logger.error("%s %s: %s", request.method, request.path, exception)
        heading, reason = REASONS.get(type(exception), OUT_OF_REACH)
        context = {"heading": heading, "reason": reason}
        response = render(request, "chat/unavailable.html", context, status=503)
        response.headers["Retry-After"] = "5"
        return response
