"""Reading image files from folders and archives."""
