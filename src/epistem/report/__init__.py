"""From results to what a person reads: document, figures, sections, one HTML file, exports."""
