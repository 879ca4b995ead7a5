"""Who may see a dataset, and what they may do with it."""
