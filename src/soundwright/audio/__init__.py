"""Sound as samples: files, resampling, channels, loudness, mel spectrograms, mixing."""
