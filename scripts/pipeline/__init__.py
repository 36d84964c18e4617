"""The steps from a page of the vendor to the generated package."""

import os
import sys
from importlib.util import find_spec

# Both engines find the same faults; jsonschema-rs, where it is installed, words them otherwise.
os.environ["OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND"] = "jsonschema"
if not find_spec("openapi_python_client"):
    print(f"{sys.executable} lacks the tools; run scripts/setup, and use .venv", file=sys.stderr)
    raise SystemExit(5)
