"""Latent diffusion: processes of noise and flow, the U-Net, sampling, scoring, training task."""
