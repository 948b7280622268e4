"""Tables of experiments: trainings under changed conditions, measured on the same prompts."""
