"""Programs that show speechkit."""
