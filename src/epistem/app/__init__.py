"""Settings in, report out: command line, batches, samples."""
