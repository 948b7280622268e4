"""What every room stands on: configuration, files, seeds, devices, errors, records, protocols."""
