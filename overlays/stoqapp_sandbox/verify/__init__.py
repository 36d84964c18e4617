"""Ask the real service what the sandbox assumes about it: ``stoqapp verify``."""
