"""The steps from a page of the vendor to the generated package."""
