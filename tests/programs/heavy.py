"""Runs the stage argv[1] with the words that follow, and prints which large packages that loaded, in its last line."""

import importlib
import sys

LARGE = ("lightning", "matplotlib", "onnx", "onnxruntime", "pandas", "sklearn", "torch", "torchvision")

name = sys.argv.pop(1)
importlib.import_module(name).main()
print(*(package for package in LARGE if package in sys.modules))
