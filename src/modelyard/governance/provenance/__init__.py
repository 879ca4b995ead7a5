"""Provenance at ``/v1/governance/provenance``: what came from what, in W3C PROV's words."""
