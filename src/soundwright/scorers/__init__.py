"""What puts numbers on sounds: taggers, detector, matcher, encoders, the search for near-copies."""
