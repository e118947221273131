"""The API and its OpenAPI document."""
