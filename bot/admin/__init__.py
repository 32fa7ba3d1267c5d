"""What administrators see and do: /admin and /admin/api."""
