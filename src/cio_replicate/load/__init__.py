"""From landed pages into a destination."""
