"""Arrays in, numbers out: intervals, resampling, agreement."""
