"""Where the work of a corpus is done: in processes of this machine, or on a Ray cluster."""
