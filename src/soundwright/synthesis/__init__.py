"""The built-in sound generator: events from physical models or recordings, scenes, captions."""
