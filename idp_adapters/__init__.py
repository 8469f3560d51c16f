"""Every way to be somebody becomes the same external identity. Each adapter is imported when it is first needed."""
