"""What puts numbers on sounds: the tagger that judges them and the search for near-copies."""
