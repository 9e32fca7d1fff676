"""What was learned: records, comparison and their pages."""
