"""AutoCap (arXiv 2406.19388, section 3.1): from sounds and what is known of them to captions."""
