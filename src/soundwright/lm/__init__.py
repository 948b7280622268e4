"""The audio language model: patterns, decoder, objective, RR, decoding, training task."""
