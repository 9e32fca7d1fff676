"""Pages and documents: what is known about a run or a comparison, in the formats people and programs read."""
