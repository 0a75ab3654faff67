"""Data: where samples come from, how they are split, and how batches of them reach the training device."""
