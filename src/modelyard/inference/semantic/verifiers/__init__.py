"""What decides whether one prompt's answer also answers another."""
