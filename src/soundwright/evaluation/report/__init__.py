"""One page about an evaluation that needs nothing but itself: tables, plots, sounds, problems."""
