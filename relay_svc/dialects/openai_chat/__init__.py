"""OpenAI's chat completions (`/v1/chat/completions`), which most other providers speak too."""
