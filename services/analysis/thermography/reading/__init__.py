"""From a photo to temperatures: formats, the thermal area, palettes, printed scales and sensor data."""
