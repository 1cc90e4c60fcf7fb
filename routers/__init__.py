"""HTTP in, HTTP out: what a request says, handed to a service, and its answer handed back."""
