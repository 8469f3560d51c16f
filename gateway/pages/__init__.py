"""Pages for people: server-rendered, without inline script or style, every act possible with the keyboard alone."""
