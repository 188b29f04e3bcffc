"""Training pictures: where they lie, which windows of them, kept in memory or decoded on demand."""
