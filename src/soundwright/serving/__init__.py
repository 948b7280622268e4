"""Serving: the HTTP API, its engine and its store, and the studio page."""
