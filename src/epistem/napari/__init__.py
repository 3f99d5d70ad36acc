"""epistem inside napari: a reader with pixel sizes, and a panel that finds, measures and takes corrections back."""
