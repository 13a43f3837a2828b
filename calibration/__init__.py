"""Face crops: what engines are calibrated, compared and measured on."""
