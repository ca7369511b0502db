"""From the App API to landed pages."""
