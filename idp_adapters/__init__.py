"""One file per way to be somebody. Only `contract` is seen from outside `gateway`."""
