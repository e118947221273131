"""The provider that rents the numbers: how it is asked, and what its answers mean."""
