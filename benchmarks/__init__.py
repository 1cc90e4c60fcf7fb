"""Programs that measure the figures. The README here says how to run each command."""
