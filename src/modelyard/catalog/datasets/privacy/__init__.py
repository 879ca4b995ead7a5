"""Personal data in datasets: found, protected, taken out, and deleted for good."""
