"""Sound events from physical and signal models, one file a kind of physics; `table` names all."""
