"""A Cauchy likelihood for vaelab."""
