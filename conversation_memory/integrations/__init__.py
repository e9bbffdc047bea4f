"""Adapters to frameworks: a module for each, which nothing else imports."""
