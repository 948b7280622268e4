"""One loop for every training task, with optimizers, averaging, checkpoints and metrics."""
