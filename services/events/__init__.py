"""Events: the history as a feed that programs follow."""
