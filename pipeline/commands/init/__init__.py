"""`covers init`: what data hold, and a configuration and a label schema for them."""
