"""The resource kernel beside MLflow's model registry."""
