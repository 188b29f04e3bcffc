from __future__ import annotations

import pytest

# Everything here but the bytes of a model needs the runtime.
pytest.importorskip("onnxruntime", reason="needs the extra fast")
