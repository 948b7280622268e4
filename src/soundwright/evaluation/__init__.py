"""What is measured, and how far it can be trusted: metrics, statistics, report, controllability."""
