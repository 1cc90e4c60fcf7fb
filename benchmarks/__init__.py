"""What the figures are measured with; the README here says how to run each command."""
