"""What a joined model is measured against."""
