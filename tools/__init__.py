"""Pages and pictures of the project that are generated from its code; not part of the package."""
