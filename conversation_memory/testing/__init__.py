"""For the tests of a project that uses the app; nothing else imports it."""
