"""The admin: changes the catalog in one transaction and tells every router."""
