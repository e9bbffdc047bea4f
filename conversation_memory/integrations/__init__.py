"""Adapters for frameworks: one module each, which nothing else imports."""
