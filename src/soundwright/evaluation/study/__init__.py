"""Listening studies: blind comparisons and ratings by people, from the plan to the intervals."""
