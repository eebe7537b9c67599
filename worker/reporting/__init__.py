"""Pages for people and progress on a terminal: templates, one stylesheet, pictures and plots."""
