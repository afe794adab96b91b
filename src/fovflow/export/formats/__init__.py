"""The formats that results can be exported to, a module each."""
