"""The description of the HTTP APIs: ``/openapi.json``, and a page that shows it."""
