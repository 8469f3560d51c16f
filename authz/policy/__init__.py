"""Who may do what here: rules as they are written, kept and asked."""
