"""Small loops, one file each; every one is safe to run in many processes at once."""
