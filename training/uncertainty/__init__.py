"""Training of the uncertainty head: errors of finished networks, quantile regression, calibration, export."""
