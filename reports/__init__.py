"""From tables to one HTML file; computes nothing."""
