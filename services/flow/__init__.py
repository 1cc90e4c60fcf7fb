"""The flow of work: throughput, cycle times, stuck tasks, and forecasts of completion."""
