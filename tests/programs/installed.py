"""Of ./installed, where only what it depends on can be imported: "main" of a module with words, or "import" modules."""

import sys
from importlib import import_module

HIDDEN = ("torch", "torchvision", "lightning", "pandas", "scipy", "sklearn", "pydantic", "psutil", "safetensors",
          "matplotlib")  # fmt: skip
sys.path.insert(0, "installed")
sys.modules.update(dict.fromkeys(HIDDEN))
what, *words = sys.argv[1:]
if what == "main":
    module, *words = words
    sys.exit(import_module(module).main(words))
for module in words:
    import_module(module)
