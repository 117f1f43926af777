"""Google's Gemini (`:generateContent`, `:streamGenerateContent`)."""
