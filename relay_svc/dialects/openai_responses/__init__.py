"""OpenAI's responses (`/v1/responses`), without what OpenAI itself would have to remember for them."""
