"""The audit trail at ``/v1/governance/audit``: who changed what, and that it was not altered."""
