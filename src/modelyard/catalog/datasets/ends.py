"""How a conversion ends that could not be made, and what memory it has."""

REFUSED, FULL = 3, 4  # exit statuses: a filter that is none; no room for what is written
MEMORY = 512 << 20  # bytes that it may allocate, as a job has them
