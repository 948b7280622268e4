"""Where a corpus's recordings come from: one file for each kind of input."""
