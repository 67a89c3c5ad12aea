"""A search for good recipes: settings to try, trials of them, and their table (extra: search)."""
