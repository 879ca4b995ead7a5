"""A provider's server for the tests: OpenAI-compatible, counted, and faulty on demand."""
