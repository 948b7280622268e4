"""Preference data as Tango 2 makes it: captions, perturbations, rollouts, judges, pairs."""
