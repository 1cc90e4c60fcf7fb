"""Events: the history as a feed that programs can follow."""
