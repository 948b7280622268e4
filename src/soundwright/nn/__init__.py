"""What several systems share: layers laid out and quantised for inference, adapters, dropout."""
