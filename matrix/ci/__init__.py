"""Files for CI systems and clusters: a job an environment and shard, and a last one that joins and judges."""
