"""The HTTP endpoints: each one hands a request to a service, and answers with the service's result."""
