"""The catalog: what models are made of and made into."""
