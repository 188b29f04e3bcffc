from __future__ import annotations

from importlib.util import find_spec

import pytest

# Everything here but the bytes of a model needs the runtime, which is imported in one place only.
if find_spec("onnxruntime") is None:
    pytest.skip("needs the extra fast", allow_module_level=True)
