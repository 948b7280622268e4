"""Statistics on arrays of numbers: intervals, tests, proportions, agreement, preferences."""
