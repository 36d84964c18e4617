"""The steps from a page of the vendor to the generated package."""

import os

# Both engines find the same faults; jsonschema-rs, where it is installed, words them otherwise.
os.environ["OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND"] = "jsonschema"
