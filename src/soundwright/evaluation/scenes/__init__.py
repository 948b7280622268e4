"""Controllability: prompts made from typed scenes, and whether sounds obey them."""
