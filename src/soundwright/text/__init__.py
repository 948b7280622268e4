"""Words: preparation of captions and prompts, and the frozen encoders that read them."""
