"""The gateway benchmark: the project beside other gateways, on one core each, side by side."""
