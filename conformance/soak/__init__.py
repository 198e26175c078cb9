"""Long fault runs: ``python -m conformance.soak`` runs them all."""
