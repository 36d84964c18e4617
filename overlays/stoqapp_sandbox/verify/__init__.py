"""Ask the real service what the sandbox takes for granted about it: ``stoqapp verify``."""
