"""Label maps: what every pixel is, and how right that is."""
