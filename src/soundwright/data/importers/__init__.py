"""Published and home-made data sets turned into manifests, one file a layout."""
